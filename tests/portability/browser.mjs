// In a browser, which the tests drive.
import * as ort from "../../examples/browser/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { answer } from "./client.mjs";

export async function run(asked) {
  ort.env.wasm.numThreads = 1;
  const read = async (file) => {
    const response = await fetch(`/examples/browser/model/${file}`);
    return new Uint8Array(await response.arrayBuffer());
  };
  const manifest = JSON.parse(new TextDecoder().decode(await read("manifest.json")));
  return answer(ort, manifest, read, asked);
}
