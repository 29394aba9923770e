// What the tests ask of every runtime, with the client of examples/browser.
import { Program } from "../../examples/browser/program.js";
import { objective, paint } from "../../examples/browser/transfer.js";

/** Features of the image, loss and gradient there, and a picture after some steps. */
export async function answer(ort, manifest, open, { content, style, image, steps }) {
  const program = new Program(ort, manifest, open);
  const tensor = ({ data, dims }) => program.tensor(Float32Array.from(data), dims);
  const parts = Object.values(manifest.program.taps).flat().map(({ value }) => value);
  const values = await program.run(tensor(image), [], parts);
  const features = parts.map((name) => [name, [...values[name].data], values[name].dims]);
  const evaluate = await objective(program, tensor(content), tensor(style));
  const { loss, gradient } = await evaluate(tensor(image), tensor(content));
  const losses = [];
  let picture;
  for await (const step of paint(program, tensor(content), tensor(style), steps, 1)) {
    losses.push(step.loss);
    picture = [...step.picture];
  }
  return { features, loss, gradient: [...gradient], losses, picture };
}
