// In a browser, which the tests drive.
import * as ort from "../../examples/browser/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { answer } from "./client.mjs";

export async function run(asked) {
  ort.env.wasm.numThreads = 1;
  const model = "/examples/browser/model";
  const open = (file, externalData) =>
    ort.InferenceSession.create(`${model}/${file}`, { externalData });
  return answer(ort, await (await fetch(`${model}/manifest.json`)).json(), open, asked);
}
