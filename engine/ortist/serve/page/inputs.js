// The pictures that are put in: by drop, paste or a file dialogue; and the styles of the service.

import { askJson, pictureUrl } from "./api.js";

const $ = (id) => document.getElementById(id);

export class Inputs {
  photo = null; // { file, url }
  styles = []; // { name, url, weight } with a file, or named by the service

  constructor(changed) {
    this.changed = changed;
    $("photo-file").addEventListener("change", (event) => {
      this.setPhoto(event.target.files[0]);
      event.target.value = "";
    });
    $("style-file").addEventListener("change", (event) => {
      for (const file of event.target.files) this.addStyle(file);
      event.target.value = "";
    });
    takesDrops($("photo-drop"), (files) => this.setPhoto(files[0]));
    takesDrops($("style-drop"), (files) => files.forEach((file) => this.addStyle(file)));
    takesDrops(document.body, (files) => this.put(files));
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) {
        event.preventDefault();
        this.put(files);
      }
    });
  }

  // Pictures without a place of their own: the first is the photo, where there is none yet.
  put(files) {
    for (const file of files) {
      if (this.photo === null) this.setPhoto(file);
      else this.addStyle(file);
    }
  }

  setPhoto(file) {
    if (!file) return;
    this.photo = { file, url: URL.createObjectURL(file) };
    $("photo-shown").src = this.photo.url;
    $("photo-shown").alt = `The photo ${file.name}`;
    $("photo-shown").hidden = false;
    $("photo-hint").hidden = true;
    $("photo-name").textContent = file.name;
    this.changed();
  }

  addStyle(file) {
    const isStyleFile = file.name.toLowerCase().endsWith(".ostyle");
    const url = isStyleFile ? "/page/icon.svg" : URL.createObjectURL(file);
    this.styles.push({ name: file.name, file, url, weight: "1" });
    this.showStyles();
  }

  async showGallery() {
    const told = await askJson("/v1/styles");
    const items = told.map(async (style) => {
      const url = await pictureUrl(style.thumbnail);
      return galleryItem(url, style.name, (button) => this.toggle(style, url, button));
    });
    $("gallery").replaceChildren(...(await Promise.all(items)));
  }

  toggle(style, url, button) {
    const at = this.styles.findIndex((chosen) => chosen.named === style.name);
    if (at >= 0) this.styles.splice(at, 1);
    else this.styles.push({ name: style.file, named: style.name, url, weight: "1", button });
    this.showStyles();
  }

  showStyles() {
    for (const button of $("gallery").querySelectorAll("button")) {
      const chosen = this.styles.some((style) => style.button === button);
      button.setAttribute("aria-pressed", String(chosen));
    }
    $("chosen").replaceChildren(...this.styles.map((style) => this.chosenItem(style)));
    this.changed();
  }

  chosenItem(style) {
    const item = document.createElement("li");
    const image = document.createElement("img");
    image.src = style.url;
    image.alt = "";
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = style.name;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove the style ${style.name}`);
    remove.addEventListener("click", () => {
      this.styles.splice(this.styles.indexOf(style), 1);
      this.showStyles();
    });
    item.append(image, name);
    if (this.styles.length > 1) item.append(weightOf(style));
    item.append(remove);
    return item;
  }
}

function weightOf(style) {
  const weight = document.createElement("input");
  weight.type = "number";
  weight.min = "0";
  weight.step = "any";
  weight.value = style.weight;
  weight.setAttribute("aria-label", `Weight of the style ${style.name}`);
  weight.addEventListener("input", () => {
    style.weight = weight.value || "1";
  });
  return weight;
}

export function galleryItem(url, name, pressed) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  const image = document.createElement("img");
  image.src = url;
  image.alt = "";
  const label = document.createElement("span");
  label.textContent = name;
  button.append(image, label);
  button.addEventListener("click", () => pressed(button));
  item.append(button);
  return item;
}

function takesDrops(place, taken) {
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.stopPropagation();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    place.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) taken(files);
  });
}
