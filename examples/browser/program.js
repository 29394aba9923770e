// Runs a model's bundle on a whole picture, as one piece and one band (docs/format.md).

/** Where so many rows and columns, from `top` and `left` on, lie in the data of a picture [1, 3, h,
 * w]; beyond its border is the outermost row. */
export const places = ([, , height, width], top, left, rows, columns) =>
  Int32Array.from({ length: 3 * rows * columns }, (_, i) => {
    const row = Math.min(Math.max((Math.floor(i / columns) % rows) + top, 0), height - 1);
    return (Math.floor(i / columns / rows) * height + row) * width + left + (i % columns);
  });

/** `ort` is onnxruntime-web or -node, `read(file)` gives the bytes of a file of the bundle, and
 * `options` are of the sessions. */
export class Program {
  constructor(ort, manifest, read, options = {}) {
    Object.assign(this, { ort, manifest, read, options, opened: new Map() });
    this.tensor = (data, dims) => new ort.Tensor("float32", data, dims);
  }

  /** A segment's session; of its switches those in `on` are true. */
  async session({ file, switches }, on) {
    const key = [file, ...switches.filter((name) => on.includes(name))].join(" ");
    if (!this.opened.has(key)) {
      const bit = (name) => ({ path: name, data: Uint8Array.of(on.includes(name) ? 1 : 0) });
      const options = { ...this.options, externalData: switches.map(bit) };
      this.opened.set(key, await this.ort.InferenceSession.create(await this.read(file), options));
    }
    return this.opened.get(key);
  }

  /** All values, by name, of a run that ends once those of `until` are made. What is decided of a
   * tap, when it is first asked for, are the inputs that `decide(tap, values)` returns. */
  async run(given, on, until, decide = () => ({})) {
    const { dims, data } = given.image, [, , height, width] = dims, decided = {};
    const rows = Float32Array.from(places(dims, -1, 0, height + 2, width), (i) => data[i]);
    const values = { rows: this.tensor(rows, [1, 3, height + 2, width]), ...given };
    for (const segment of this.manifest.program.segments) {
      if (until.every((name) => name in values)) break;
      const session = await this.session(segment, on), feeds = {};
      for (const input of session.inputMetadata) {
        const tap = /^(?:mixing|content_weight)_(\d+)$/.exec(input.name)?.[1];
        if (tap && !decided[tap]) Object.assign(values, (decided[tap] = decide(tap, values)));
        feeds[input.name] = values[input.name] ??= this.zeros(input, values);
      }
      Object.assign(values, await session.run(feeds));
    }
    return values;
  }

  /** Rows beyond the picture's border; or what is not used, of length 0 wherever that is free. */
  zeros({ name, type, shape }, values) {
    const { row, beyond } = this.manifest.program.exchanges.find(({ halo }) => halo === name) ?? {};
    const dims = row
      ? values[row].dims.map((length, axis) => (axis === 2 ? beyond : length))
      : shape.map((length) => (typeof length === "number" ? length : 0));
    const Values = type === "int64" ? BigInt64Array : Float32Array;
    return new this.ort.Tensor(type, new Values(dims.reduce((a, b) => a * b, 1)), dims);
  }
}
