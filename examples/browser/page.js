// The page: two pictures, a worker that paints, and what it says.
const part = (id) => document.getElementById(id);
let worker, pictures = {};

function scaled(picture, side) {
  const { width, height } = picture, scale = side / Math.min(width, height);
  const size = [width, height].map((length) => Math.floor(length * scale));
  const pen = new OffscreenCanvas(...size).getContext("2d");
  pen.drawImage(picture, 0, 0, ...size);
  return pen.getImageData(0, 0, ...size);
}
function show(name, pixels) {
  [part(name).width, part(name).height] = [pixels.width, pixels.height];
  part(name).getContext("2d").putImageData(pixels, 0, 0);
}
function take(name, picture) {
  show(name, scaled((pictures[name] = picture), 128));
  part("paint").disabled = Object.keys(pictures).length < 2;
}
function turn(busy, said) {
  if (!busy) worker?.terminate();
  [part("paint").hidden, part("cancel").hidden, part("said").textContent] = [busy, !busy, said];
}
for (const name of ["content", "style"]) {
  part(`${name}-file`).onchange = ({ target }) =>
    createImageBitmap(target.files[0]).then((picture) => take(name, picture), () =>
      turn(false, `${target.files[0].name} is no picture that this browser can read.`));
}
part("camera").onclick = async () => {
  const video = part("video"), stream = video.srcObject;
  if (stream) take("content", await createImageBitmap(video));
  stream?.getTracks().forEach((track) => track.stop());
  const camera = () => navigator.mediaDevices.getUserMedia({ video: true }).catch(() => null);
  video.srcObject = stream ? null : await camera();
  part("camera").textContent = (video.hidden = !video.srcObject) ? "Camera" : "Take the photo";
};
part("paint").onclick = () => {
  const [side, steps] = ["side", "steps"].map((id) => Number(part(id).value));
  worker = new Worker("worker.js", { type: "module" });
  worker.onerror = () => turn(false, "onnxruntime-web is missing; README.md says how to get it.");
  worker.onmessage = ({ data: { loss, shown, message } }) => {
    if (message) return turn(false, message);
    show("painted", shown);
    const done = (part("progress").value += 1);
    turn(done < steps, `Step ${done} of ${steps}, loss ${loss.toFixed(4)}`);
  };
  turn(true, "Opening the model …");
  [part("progress").max, part("progress").value] = [steps, 0];
  const [content, style] = [pictures.content, pictures.style].map((p) => scaled(p, side));
  worker.postMessage({ content, style, steps });
};
part("cancel").onclick = () => turn(false, "Cancelled; here is what there was.");
