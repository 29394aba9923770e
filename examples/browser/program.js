// Runs a model's bundle on a whole picture, as one piece and one band (docs/format.md).

/** Where the pixels of a window lie in the data of a picture; beyond its border is its last row. */
export const places = ([, , height, width], top, left, rows, columns) =>
  Int32Array.from({ length: 3 * rows * columns }, (_, i) => {
    const row = Math.min(Math.max((Math.floor(i / columns) % rows) + top, 0), height - 1);
    return (Math.floor(i / columns / rows) * height + row) * width + left + (i % columns);
  });

/** `ort` is onnxruntime-web or -node; `open(file, externalData)` makes a session of a file. */
export class Program {
  constructor(ort, manifest, open) {
    Object.assign(this, { ort, manifest, open, opened: {} });
    this.tensor = (data, dims) => new ort.Tensor("float32", data, dims);
  }
  /** A segment's session; of its switches those in `on` are true. */
  async session({ file, switches }, on) {
    const bits = switches.map((path) => ({ path, data: Uint8Array.of(on.includes(path)) }));
    return (this.opened[[file, ...bits.map((b) => b.data)]] ??= await this.open(file, bits));
  }
  /** All values, once those of `until` are made; `decide[input](values)` makes one on the way. */
  async run(image, on, until, given = {}, decide = {}) {
    const { dims, data } = image, [, , height, width] = dims;
    const rows = Float32Array.from(places(dims, -1, 0, height + 2, width), (i) => data[i]);
    const values = { image, rows: this.tensor(rows, [1, 3, height + 2, width]), ...given };
    for (const segment of this.manifest.program.segments) {
      if (until.every((name) => name in values)) break;
      const session = await this.session(segment, on), feeds = {};
      for (const input of session.inputMetadata)
        feeds[input.name] = values[input.name] ??=
          decide[input.name]?.(values) ?? this.zeros(input, values);
      Object.assign(values, await session.run(feeds));
    }
    return values;
  }
  /** Rows beyond the picture's border; or what is not used, of length 0 wherever that is free. */
  zeros({ name, type, shape }, values) {
    const exchange = this.manifest.program.exchanges.find(({ halo }) => halo === name);
    const lengths = exchange ? values[exchange.row].dims.with(2, exchange.beyond) : shape;
    const dims = lengths.map((length) => (typeof length === "number" ? length : 0));
    const Values = type === "int64" ? BigInt64Array : Float32Array;
    return new this.ort.Tensor(type, new Values(dims.reduce((a, b) => a * b, 1)), dims);
  }
}
