// The controls under "more": one for each option that /v1/options tells of.

const PLAIN = ["size", "strength", "quality", "colors", "style_weights"];

export class Options {
  constructor(place, told) {
    this.told = told.options;
    this.controls = new Map();
    const groups = new Map();
    for (const option of this.told) {
      if (PLAIN.includes(option.name)) continue;
      if (!groups.has(option.heading)) groups.set(option.heading, fieldset(option.heading));
      const control = controlOf(option);
      this.controls.set(option.name, control);
      groups.get(option.heading).append(labelled(option, control));
    }
    groups.set("preset", presets(told.presets, this.controls));
    place.replaceChildren(...groups.values());
  }

  find(name) {
    return this.told.find((option) => option.name === name);
  }

  // What was changed, by name, as a form sends it.
  changed() {
    const found = new Map();
    for (const [name, control] of this.controls) {
      const value = control.type === "checkbox" ? String(control.checked) : control.value.trim();
      const usual = this.find(name)?.default ?? "";
      if (value !== "" && value !== usual) found.set(name, value);
    }
    return found;
  }
}

function fieldset(heading) {
  const group = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = heading;
  group.append(legend);
  return group;
}

function controlOf(option) {
  if (option.type === "choice") return select(option.choices, option.default);
  const input = document.createElement("input");
  if (option.type === "flag") {
    input.type = "checkbox";
    input.checked = option.default === "true";
    return input;
  }
  // What may also be a word, as "auto", cannot be an input of numbers.
  const isNumber = ["whole", "number"].includes(option.type) && option.unset === null;
  input.type = isNumber ? "number" : "text";
  if (isNumber) {
    input.min = option.least ?? "";
    input.max = option.most ?? "";
    input.step = option.type === "whole" ? "1" : "any";
  }
  input.placeholder = option.default;
  return input;
}

export function select(choices, chosen) {
  const control = document.createElement("select");
  fill(control, choices, chosen);
  return control;
}

export function fill(control, choices, chosen) {
  control.replaceChildren(
    ...choices.map((choice) => new Option(choice, choice, choice === chosen, choice === chosen)),
  );
}

function labelled(option, control) {
  const label = document.createElement("label");
  const help = document.createElement("span");
  control.id = `option-${option.name}`;
  help.id = `help-${option.name}`;
  label.htmlFor = control.id;
  label.textContent = `${option.name.replaceAll("_", " ")} `;
  help.className = "help";
  help.textContent = option.help;
  control.setAttribute("aria-describedby", help.id);
  const part = document.createElement("div");
  part.append(label, control, help);
  return part;
}

function presets(names, controls) {
  const group = fieldset("Preset");
  const control = select(["", ...names], "");
  controls.set("preset", control);
  group.append(
    labelled({ name: "preset", help: "A named set of options, made for another model." }, control),
  );
  return group;
}
