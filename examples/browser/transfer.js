// Style transfer with a Program: balanced weights, Gram losses and Adam (docs/format.md).
import { places } from "./program.js";
const total = (numbers) => numbers.reduce((sum, value) => sum + value, 0);
const square = (numbers) => numbers.reduce((sum, value) => sum + value * value, 0);

/** The losses that a model's recipe makes of two pictures [1, 3, h, w], normalised: a function of
 * an image and a content of its size, which returns the loss and its gradient. */
export async function objective(program, content, style) {
  const { recipe, program: { taps: parts } } = program.manifest;
  const layers = recipe.content_layers, styled = Object.keys(recipe.style_shares);
  const names = (taps, ...kinds) => kinds.flatMap((kind) => taps.map((tap) => `${kind}_${tap}`));
  const on = names(styled, "with_moments", "with_style");
  on.push(...names(layers, "with_error", "with_content"));
  const scalar = (value) => program.tensor(Float32Array.of(value), []);
  const gram = (tap, values) => {
    const { data, dims } = values[`moments_${tap}`];
    const count = total(parts[tap].map(({ value }) => values[value].data.length / dims[0]));
    return { count, dims, mean: data.map((sum) => sum / count) };
  };
  const kept = layers.flatMap((t) => parts[t].map(({ value }, i) => [`content_${t}_${i}`, value]));
  const features = async (image) => {
    const values = await program.run(image, [], kept.map(([, value]) => value));
    return Object.fromEntries(kept.map(([input, value]) => [input, values[value]]));
  };
  const seen = await program.run(style, names(styled, "with_moments"), names(styled, "moments"));
  const held = await features(content), shares = total(Object.values(recipe.style_shares));
  const weights = { tv_weight: scalar(recipe.tv_share / content.data.length) }, decide = {};
  let loss; // of one evaluation
  for (const tap of styled) {
    const target = gram(tap, seen).mean;
    const weight = recipe.style_shares[tap] / shares / (square(target) || 1);
    decide[`mixing_${tap}`] = (values) => {
      const { count, dims, mean } = gram(tap, values);
      const difference = mean.map((value, i) => value - target[i]);
      loss += weight * square(difference);
      return program.tensor(difference.map((value) => (4 * weight * value) / count), dims);
    };
  }
  for (const tap of layers) {
    const energy = total(parts[tap].map((_, i) => square(held[`content_${tap}_${i}`].data)));
    weights[`content_weight_${tap}`] = scalar(recipe.content_share / layers.length / (energy || 1));
  }
  const terms = layers.map((tap) => [`content_weight_${tap}`, `content_error_${tap}`]);
  terms.push(["tv_weight", "variation"]);
  return async (image, content) => {
    loss = 0;
    const given = { ...weights, ...(await features(content)) };
    const values = await program.run(image, on, ["gradient"], given, decide);
    for (const [weight, sum] of terms) loss += values[weight].data[0] * values[sum].data[0];
    return { loss, gradient: values.gradient.data };
  };
}

/** Yields { loss, picture } after each step, which sees a shifted window, `jitter` - 1 smaller. */
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
      sum[i] = 0.97 * sum[i] + 0.03 * image[i]; // the picture is the iterates' running average
    }
    yield { loss: point.loss, picture: sum.map((value) => value / (1 - 0.97 ** (step + 1))) };
  }
}
