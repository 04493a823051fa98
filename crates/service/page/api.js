// Questions to the service. Every failure is a Problem with a sentence for people (RFC 9457).

const KEY = "hitters.key";
// One tab, until it is closed: a key must not outlive the person at the screen.
let key = null;
try {
  key = sessionStorage.getItem(KEY);
} catch {
  // Without storage the key lives as long as the page.
}

export function useKey(text) {
  key = text;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // As above.
  }
}

export const hasKey = () => key !== null;

export class Problem extends Error {
  /** `status` 0: the service could not be reached. */
  constructor(status, body) {
    super(body.detail || body.title || `the service answered ${status}`);
    this.status = status;
    this.type = body.type ?? "";
    this.title = body.title ?? "";
    this.allowed = body.allowed;
  }
}

async function send(path, query, accept, signal) {
  const text = query ? query.toString() : "";
  const headers = { Accept: accept };
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(text ? `${path}?${text}` : path, { headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "No answer", detail: "The service cannot be reached. It may be starting, or the network is away." });
  }
  if (response.ok) return response;
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy in between answers in its own way.
  }
  throw new Problem(response.status, body);
}

/** A question to a pipeline: `top`, `series`... */
export async function ask(pipeline, what, query, signal) {
  const response = await send(`/v1/pipelines/${encodeURIComponent(pipeline)}/${what}`, query, "application/json", signal);
  return response.json();
}

/** All pipelines that the key may see. */
export async function pipelines(signal) {
  const found = [];
  const query = new URLSearchParams();
  do {
    const page = await (await send("/v1/pipelines", query, "application/json", signal)).json();
    found.push(...page.pipelines);
    if (page.next) query.set("cursor", page.next);
    else return found;
  } while (found.length < 1000);
  return found;
}

export async function csv(pipeline, what, query) {
  return (await send(`/v1/pipelines/${encodeURIComponent(pipeline)}/${what}`, query, "text/csv")).blob();
}

/**
 * Server-sent events. `EventSource` cannot send a key, so the stream is read by hand; it comes back after a pause when the
 * line breaks, until `signal` ends it. `onTop` gets each answer and what it is: of a closed window ("top"), or of the open one.
 */
export async function follow(pipeline, query, signal, onTop, onState) {
  let pause = 1000;
  while (!signal.aborted) {
    try {
      const response = await send(`/v1/pipelines/${encodeURIComponent(pipeline)}/live`, query, "text/event-stream", signal);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      onState("open");
      pause = 1000;
      let kept = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        kept += value.replaceAll("\r\n", "\n");
        let end;
        while ((end = kept.indexOf("\n\n")) >= 0) {
          const lines = kept.slice(0, end).split("\n");
          kept = kept.slice(end + 2);
          const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
          const name = lines.map((line) => /^event: ?(top|open)$/.exec(line)?.[1]).find(Boolean);
          if (data.length && name) onTop(JSON.parse(data.join("\n")), name);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    onState("away");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 30000);
  }
}
