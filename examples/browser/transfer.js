// Style transfer with a Program: balanced weights, Gram losses and Adam (docs/format.md).
import { places } from "./program.js";

const square = (data) => data.reduce((sum, value) => sum + value * value, 0);

/** The losses that a model's recipe makes of two pictures [1, 3, h, w], normalised: a function of
 * an image and a content of its size, which returns the loss and its gradient. */
export async function objective(program, content, style) {
  const { recipe, program: { taps: parts } } = program.manifest;
  const layers = recipe.content_layers, styled = Object.keys(recipe.style_shares);
  const switches = (taps, ...kinds) => kinds.flatMap((k) => taps.map((t) => `with_${k}_${t}`));
  const on = [...switches(styled, "moments", "style"), ...switches(layers, "error", "content")];
  const scalar = (value) => program.tensor(Float32Array.of(value), []);
  const gram = (tap, values) => {
    const dims = parts[tap].map(({ value }) => values[value].dims);
    const count = dims.reduce((sum, [, , height, width]) => sum + height * width, 0);
    return { count, mean: values[`moments_${tap}`].data.map((sum) => sum / count) };
  };
  const features = async (image) => {
    const inputs = layers.flatMap((tap) =>
      parts[tap].map(({ value }, part) => [`content_${tap}_${part}`, value]));
    const values = await program.run({ image }, [], inputs.map(([, value]) => value));
    return Object.fromEntries(inputs.map(([input, value]) => [input, values[value]]));
  };

  const sums = styled.map((tap) => `moments_${tap}`);
  const seen = await program.run({ image: style }, switches(styled, "moments"), sums);
  const shares = Object.values(recipe.style_shares).reduce((a, b) => a + b);
  const [target, pull, hold] = [{}, {}, {}]; // by tap; the weights of ||Q - Q_t||^2 and ||F - P||^2
  for (const tap of styled) {
    target[tap] = gram(tap, seen).mean;
    pull[tap] = recipe.style_shares[tap] / shares / (square(target[tap]) || 1);
  }
  const kept = await features(content);
  for (const tap of layers) {
    const energies = parts[tap].map((_, part) => square(kept[`content_${tap}_${part}`].data));
    hold[tap] = recipe.content_share / layers.length / (energies.reduce((a, b) => a + b) || 1);
  }
  const smooth = recipe.tv_share / content.data.length;

  return async (image, content) => {
    let loss = 0;
    const decide = (tap, values) => {
      const { count, mean } = tap in pull ? gram(tap, values) : { count: 1, mean: [] };
      const difference = mean.map((v, i) => v - target[tap][i]), side = Math.sqrt(mean.length);
      const mixing = Float32Array.from(difference, (value) => (4 * pull[tap] * value) / count);
      loss += (pull[tap] ?? 0) * square(difference);
      loss += (hold[tap] ?? 0) * values[`content_error_${tap}`].data[0];
      return {
        [`content_weight_${tap}`]: scalar(hold[tap] ?? 0),
        ...(tap in pull && { [`mixing_${tap}`]: program.tensor(mixing, [side, side]) }),
      };
    };
    const given = { image, tv_weight: scalar(smooth), ...(await features(content)) };
    const { gradient, variation } = await program.run(given, on, ["gradient"], decide);
    return { loss: loss + smooth * variation.data[0], gradient: gradient.data };
  };
}

/** Paints from the content on; yields { loss, picture } after each step. A step sees the picture
 * through a shifted window, `jitter` - 1 pixels smaller, which hides the grid of strides. */
export async function* paint(program, content, style, steps, jitter) {
  const { recipe, normalization: { mean, std } } = program.manifest;
  const { dims, data } = content, [, , height, width] = dims;
  const evaluate = await objective(program, content, style);
  const less = (jitter ?? recipe.jitter) - 1, size = [1, 3, height - less, width - less];
  const image = Float32Array.from(data), none = () => new Float32Array(data.length);
  const [first, second, sum] = [none(), none(), none()];
  const settling = steps - Math.round(recipe.final_share * steps); // the last phase's first step
  for (let step = 0, time = 1; step < steps; step++, time++) {
    const [top, left] = [0, 0].map(() => Math.floor(Math.random() * (less + 1)));
    const seen = places(dims, top, left, size[2], size[3]), gradient = none();
    const window = (data) => program.tensor(Float32Array.from(seen, (i) => data[i]), size);
    const point = await evaluate(window(image), window(data));
    seen.forEach((place, i) => (gradient[place] = point.gradient[i]));
    if (step === settling) [time] = [1, first.fill(0), second.fill(0)];
    const rate = recipe.learning_rate * (step < settling ? 1 : recipe.final_rate);
    for (let i = 0; i < image.length; i++) {
      const [center, spread] = [mean, std].map((v) => v[Math.floor(i / (height * width))]);
      first[i] = 0.9 * first[i] + 0.1 * gradient[i];
      second[i] = 0.99 * second[i] + 0.01 * gradient[i] ** 2;
      const root = Math.sqrt(second[i] / (1 - 0.99 ** time)) + 1e-8;
      const moved = image[i] - ((rate / (1 - 0.9 ** time)) * first[i]) / root;
      image[i] = Math.min(Math.max(moved, -center / spread), (1 - center) / spread);
      sum[i] = 0.97 * sum[i] + 0.03 * image[i];
    }
    // The picture is the iterates' running average.
    yield { loss: point.loss, picture: sum.map((value) => value / (1 - 0.97 ** (step + 1))) };
  }
}
