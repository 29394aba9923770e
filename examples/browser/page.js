// The page: two pictures, a worker that paints, and what it says.
const part = (id) => document.getElementById(id), pictures = {};
let worker;
function scaled(picture, side) {
  const lengths = [picture.width, picture.height], scale = side / Math.min(...lengths);
  const size = lengths.map((length) => Math.floor(length * scale));
  const pen = new OffscreenCanvas(...size).getContext("2d");
  pen.drawImage(picture, 0, 0, ...size);
  return pen.getImageData(0, 0, ...size);
}
function show(name, pixels) {
  Object.assign(part(name), { width: pixels.width, height: pixels.height });
  part(name).getContext("2d").putImageData(pixels, 0, 0);
}
async function take(name, source) {
  const picture = await createImageBitmap(source).catch(() => null);
  if (!picture) return turn(false, `${source.name} is no picture that this browser can read.`);
  show(name, scaled((pictures[name] = picture), 128));
  part("paint").disabled = Object.keys(pictures).length < 2;
}
function turn(busy, said) {
  if (!busy) worker?.terminate();
  [part("paint").hidden, part("cancel").hidden, part("said").textContent] = [busy, !busy, said];
}
for (const name of ["content", "style"])
  part(`${name}-file`).onchange = ({ target: { files } }) => files[0] && take(name, files[0]);
part("camera").onclick = async () => {
  const video = part("video"), stream = video.srcObject;
  if (stream) await take("content", video);
  stream?.getTracks().forEach((track) => track.stop());
  const camera = () => navigator.mediaDevices.getUserMedia({ video: true }).catch(() => null);
  video.srcObject = stream ? null : await camera();
  part("camera").textContent = (video.hidden = !video.srcObject) ? "Camera" : "Take the photo";
};
part("paint").onclick = () => {
  const [side, steps] = ["side", "steps"].map((id) => Number(part(id).value));
  const [content, style] = ["content", "style"].map((name) => scaled(pictures[name], side));
  turn(true, "Opening the model …");
  Object.assign(part("progress"), { max: steps, value: 0 });
  worker = new Worker("worker.js", { type: "module" });
  worker.onerror = () => turn(false, "onnxruntime-web is missing; README.md says how to get it.");
  worker.onmessage = ({ data: { loss, shown, message } }) => {
    if (message) return turn(false, message);
    show("painted", shown);
    const done = (part("progress").value += 1);
    turn(done < steps, `Step ${done} of ${steps}, loss ${loss.toFixed(4)}`);
  };
  worker.postMessage({ content, style, steps });
};
part("cancel").onclick = () => turn(false, "Cancelled; here is what there was.");
