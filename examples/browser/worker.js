// Paints in a thread of its own: takes { content, style, steps } with two pictures' ImageData.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { Program } from "./program.js";
import { paint } from "./transfer.js";
const open = (file, externalData) => ort.InferenceSession.create(`model/${file}`, { externalData });
async function work({ content, style, steps }) {
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const file = await fetch("model/manifest.json");
  if (!file.ok) throw new Error("there is no model/manifest.json; README.md says how to bring it.");
  const manifest = await file.json();
  const { mean, std } = manifest.normalization, program = new Program(ort, manifest, open);
  const tensor = ({ data, width, height }) => {
    const plane = (c) => [...data.filter((_, i) => i % 4 === c)];
    const values = mean.flatMap((center, c) => plane(c).map((v) => (v / 255 - center) / std[c]));
    return program.tensor(Float32Array.from(values), [1, 3, height, width]);
  };
  for await (const { loss, picture } of paint(program, tensor(content), tensor(style), steps)) {
    const value = (i, c) => picture[(c * picture.length) / 3 + i] * std[c] + mean[c];
    const level = (_, i) => (i % 4 < 3 ? 255 * value(i >> 2, i % 4) : 255);
    const shown = new ImageData(Uint8ClampedArray.from(content.data, level), content.width);
    self.postMessage({ loss, shown });
  }
}
self.onmessage = ({ data }) => work(data).catch(({ message }) => self.postMessage({ message }));
