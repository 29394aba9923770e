// In Node: reads a case from the standard input, prints the answer. The model's folder is named.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import * as ort from "onnxruntime-node";
import { answer } from "./client.mjs";

const folder = process.argv[2];
const open = async (file, externalData) =>
  ort.InferenceSession.create(await readFile(join(folder, file)), {
    externalData,
    intraOpNumThreads: 1,
  });
const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
const found = await answer(ort, manifest, open, JSON.parse(await text(process.stdin)));
process.stdout.write(JSON.stringify(found));
