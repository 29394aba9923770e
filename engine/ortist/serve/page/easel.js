// What is shown of a job: its previews as it is painted, then the picture, beside the photo.

import { ask } from "./api.js";
import { commandLine, python } from "./elsewhere.js";
import { galleryItem } from "./inputs.js";

const $ = (id) => document.getElementById(id);

export class Easel {
  constructor() {
    $("slider").addEventListener("input", () => this.slide());
    for (const button of document.querySelectorAll("[data-copies]")) {
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText($(button.dataset.copies).textContent);
        this.say("Copied.");
      });
    }
  }

  begin() {
    this.refuse("");
    $("finished").hidden = true;
    $("compare").hidden = true;
    $("before").hidden = true;
    $("working").hidden = false;
    $("bar").removeAttribute("value");
    this.tell("Sending the pictures");
    this.say("Painting has begun.");
    // On a phone the picture is below the form.
    $("easel").scrollIntoView({ block: innerWidth < 740 ? "start" : "nearest" });
  }

  tell(text) {
    $("told").textContent = text;
  }

  // For those who hear the page: only what matters, not every step.
  say(text) {
    $("status").textContent = text;
  }

  refuse(sentence) {
    $("problem").textContent = sentence;
    $("problem").hidden = sentence === "";
    if (sentence) $("working").hidden = true;
  }

  heard(name, data) {
    if (name === "state" && data.state === "queued") {
      const eta = data.eta === null ? "" : `, about ${duration(data.eta)}`;
      this.tell(`Waiting: number ${data.place} in the queue${eta}`);
    } else if (name === "state" && data.state === "running") {
      this.tell("Looking at the pictures");
    } else if (name === "progress") {
      $("bar").max = Math.max(1, data.iterations);
      $("bar").value = data.iteration;
      const left = data.eta ? `, ${duration(data.eta)} left` : "";
      this.tell(`Step ${data.iteration} of ${data.iterations}${left}`);
    } else if (name === "preview") {
      this.show(data.image);
    }
  }

  show(url) {
    $("empty").hidden = true;
    $("stage").hidden = false;
    $("after").src = url;
  }

  async finish(job, order) {
    const answer = await ask(job.links.picture);
    const url = URL.createObjectURL(await answer.blob());
    const seen = { url, job, order };
    this.display(seen);
    this.say("The picture is done.");
    $("earlier").hidden = false;
    $("earlier-list").prepend(galleryItem(url, order.output, () => this.display(seen)));
  }

  display({ url, job, order }) {
    $("working").hidden = true;
    $("finished").hidden = false;
    $("compare").hidden = false;
    $("before").hidden = false;
    $("before").src = order.photoUrl;
    this.show(url);
    $("slider").value = 0;
    this.slide();
    const [width, height] = job.size;
    const notes = job.notes.length ? ` ${job.notes.join(" ")}` : "";
    $("facts").textContent =
      `${width} × ${height} pixels, ${job.iterations} steps in ${duration(job.seconds)}.${notes}`;
    $("download").href = url;
    $("download").download = order.output;
    $("command").textContent = commandLine(order);
    $("python").textContent = python(order);
  }

  stop() {
    $("working").hidden = true;
    this.say("Cancelled.");
  }

  slide() {
    $("before").style.clipPath = `inset(0 ${100 - Number($("slider").value)}% 0 0)`;
  }
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
