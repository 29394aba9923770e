// Paints in a thread of its own: takes { content, style, steps } with two pictures' ImageData.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { Program } from "./program.js";
import { paint } from "./transfer.js";

async function read(file) {
  const response = await fetch(`model/${file}`);
  if (!response.ok) throw new Error(`there is no model/${file}; README.md says how to bring it.`);
  return new Uint8Array(await response.arrayBuffer());
}
async function work({ content, style, steps }) {
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const manifest = JSON.parse(new TextDecoder().decode(await read("manifest.json")));
  const { mean, std } = manifest.normalization, program = new Program(ort, manifest, read);
  const [photo, painting] = [content, style].map(({ data, width, height }) => {
    const plane = width * height;
    const value = (i, c) => (data[4 * i + c] / 255 - mean[c]) / std[c];
    const at = (_, i) => value(i % plane, Math.floor(i / plane));
    const values = Float32Array.from({ length: 3 * plane }, at);
    return program.tensor(values, [1, 3, height, width]);
  });
  for await (const { loss, picture } of paint(program, photo, painting, steps)) {
    const shown = new ImageData(content.width, content.height), plane = picture.length / 3;
    const level = (i, c) => (c < 3 ? 255 * (picture[c * plane + i] * std[c] + mean[c]) : 255);
    shown.data.set(Float32Array.from(shown.data, (_, i) => level(i >> 2, i % 4)));
    self.postMessage({ loss, shown });
  }
}
self.onmessage = ({ data }) => work(data).catch(({ message }) => self.postMessage({ message }));
