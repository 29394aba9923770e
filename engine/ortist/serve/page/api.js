// What the page asks of the service. With a token, every request carries it.

let token = sessionStorage.getItem("token") ?? "";

export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function useToken(given) {
  token = given;
  sessionStorage.setItem("token", given);
}

// The answer, or a Refusal with the sentence of its problem document.
export async function ask(path, settings = {}) {
  const headers = new Headers(settings.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let answer;
  try {
    answer = await fetch(path, { ...settings, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service does not answer; is it running?");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, problem.detail ?? `The service answered ${answer.status}.`);
}

export async function askJson(path, settings) {
  return (await ask(path, settings)).json();
}

// A URL for an <img> of what is at the path: images cannot send a token themselves.
export async function pictureUrl(path) {
  return URL.createObjectURL(await (await ask(path)).blob());
}

// Follows a job until it has ended, through broken connections, from the last event seen on.
export async function follow(path, heard, signal) {
  let last = "";
  for (let failures = 0; ; ) {
    try {
      const headers = last ? { "Last-Event-ID": last } : {};
      const answer = await ask(path, { headers, signal });
      failures = 0;
      for await (const event of events(answer.body)) {
        last = event.id;
        heard(event.name, event.data);
        if (event.name === "state" && isOver(event.data.state)) return;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status >= 400 || ++failures > 30) throw error;
    }
    await new Promise((wake) => setTimeout(wake, 1000));
  }
}

export function isOver(state) {
  return ["done", "failed", "cancelled"].includes(state);
}

// EventSource can send no token, so the stream is read here.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = new Map(
        text.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)),
      );
      if (fields.has("event")) {
        yield {
          id: fields.get("id"),
          name: fields.get("event"),
          data: JSON.parse(fields.get("data")),
        };
      }
    }
  }
}
