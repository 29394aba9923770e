// The command line and the Python that make the same picture.

export function commandLine(order) {
  const words = ["ortist", "transfer", order.photo, ...order.styles, "-o", order.output];
  for (const [name, value] of order.options) {
    const flag = `--${name.replaceAll("_", "-")}`;
    if (value === "true") words.push(flag);
    else if (value === "false") words.push(flag.replace("--", "--no-"));
    else words.push(flag, value);
  }
  return words.map(shellQuoted).join(" ");
}

export function python(order) {
  const styles = order.styles.map(pythonText);
  const style = styles.length === 1 ? styles[0] : `[${styles.join(", ")}]`;
  const keywords = [...order.options].map(([name, value]) => `, ${name}=${pythonValue(value)}`);
  return [
    "import ortist",
    "",
    `result = ortist.transfer(${pythonText(order.photo)}, ${style}${keywords.join("")})`,
    `result.save(${pythonText(order.output)})`,
  ].join("\n");
}

function shellQuoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function pythonText(text) {
  return JSON.stringify(text);
}

function pythonValue(value) {
  if (value === "true") return "True";
  if (value === "false") return "False";
  return /^-?\d+(\.\d+)?(e-?\d+)?$/.test(value) ? value : pythonText(value);
}
