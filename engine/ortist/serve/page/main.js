// The page: from the pictures that are put in to the job that paints them.

import { Refusal, ask, askJson, follow, useToken } from "./api.js";
import { Easel } from "./easel.js";
import { Inputs } from "./inputs.js";
import { Options, fill } from "./options.js";

const $ = (id) => document.getElementById(id);
const SIZES = [128, 256, 384, 512, 720, 1024, 1536, 2048];

const easel = new Easel();
const inputs = new Inputs(showMissing);
let options = null;
let told = null;
let current = null; // { path, stop } of the job that is followed

async function start() {
  try {
    told = await askJson("/v1/options");
    await inputs.showGallery();
  } catch (error) {
    $("token-form").hidden = error.status !== 401;
    if (error.status !== 401) easel.refuse(error.message);
    return;
  }
  $("token-form").hidden = true;
  options = new Options($("more-options"), told);
  const sizes = SIZES.filter((size) => size <= told.limits.size).map(String);
  fill($("size"), sizes, "512");
  fill($("colors"), options.find("colors").choices, options.find("colors").default);
  fill($("format"), Object.keys(told.formats), "png");
  showMissing();
}

function showMissing() {
  const missing = [];
  if (inputs.photo === null) missing.push("a photo");
  if (inputs.styles.length === 0) missing.push("a style");
  $("missing").textContent = missing.length ? `Needs ${missing.join(" and ")}.` : "";
  $("paint").disabled = missing.length > 0 || options === null || current !== null;
}

function strength() {
  return String(Number((2 ** Number($("strength").value)).toPrecision(3)));
}

// What is asked for: names of the pictures, and the options that are not at their defaults.
function order() {
  const chosen = options.changed();
  const plain = {
    size: $("size").value,
    strength: strength(),
    quality: $("quality").value,
    colors: $("colors").value,
  };
  for (const [name, value] of Object.entries(plain)) {
    if (Number(value) !== Number(options.find(name).default) || name === "colors") {
      if (value !== options.find(name).default) chosen.set(name, value);
    }
  }
  if (inputs.styles.length > 1) {
    chosen.set("style_weights", inputs.styles.map((style) => style.weight).join(","));
  }
  const stem = inputs.photo.file.name.replace(/\.\w+$/, "") || "picture";
  return {
    photo: inputs.photo.file.name,
    photoUrl: inputs.photo.url,
    styles: inputs.styles.map((style) => style.name),
    output: `${stem}-painted.${$("format").value}`,
    options: chosen,
  };
}

function formOf(wanted) {
  const form = new FormData();
  form.append("content", inputs.photo.file, wanted.photo);
  for (const style of inputs.styles) {
    if (style.file) form.append("style", style.file, style.name);
    else form.append("style", style.named);
  }
  for (const [name, value] of wanted.options) form.append(name, value);
  form.append("format", $("format").value);
  return form;
}

async function paint() {
  const wanted = order();
  const stop = new AbortController();
  current = { stop, path: null };
  showMissing();
  easel.begin();
  try {
    const job = await askJson("/v1/jobs", {
      method: "POST",
      body: formOf(wanted),
      headers: { "Idempotency-Key": String(performance.timeOrigin + performance.now()) + Math.random() },
      signal: stop.signal,
    });
    current.path = job.links.self;
    await follow(job.links.events, (name, data) => easel.heard(name, data), stop.signal);
    const ended = await askJson(job.links.self);
    if (ended.state === "done") await easel.finish(ended, wanted);
    else if (ended.state === "failed") easel.refuse(ended.error.detail);
    else easel.stop();
  } catch (error) {
    if (error.name === "AbortError") easel.stop();
    else easel.refuse(error.message);
    if (error instanceof Refusal && error.status === 401) $("token-form").hidden = false;
  } finally {
    current = null;
    showMissing();
  }
}

async function cancel() {
  easel.tell("Cancelling");
  const { path, stop } = current ?? {};
  try {
    if (path) await ask(path, { method: "DELETE" });
    else stop?.abort();
  } catch (error) {
    easel.refuse(error.message);
  }
}

$("order").addEventListener("submit", (event) => {
  event.preventDefault();
  paint();
});
$("cancel").addEventListener("click", cancel);
$("strength").addEventListener("input", () => {
  $("strength-shown").textContent = strength();
});
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken($("token").value);
  start();
});
start();
