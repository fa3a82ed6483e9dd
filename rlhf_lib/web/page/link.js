// The link to the server: what a rater does is kept in the browser until the server has stored it.

const KEPT = "rlhf-study";
const WAITS = [500, 1000, 2000, 4000, 8000]; // ms between tries; the last one repeats

const load = () => JSON.parse(localStorage.getItem(KEPT) ?? "{}");
const keep = (changes) => localStorage.setItem(KEPT, JSON.stringify({ ...load(), ...changes }));
const pause = (ms) =>
  new Promise((done) => {
    setTimeout(done, ms);
    addEventListener("online", done, { once: true });
  });

/** The server refuses what was sent; `reason` is the label that says why. */
export class Refused extends Error {
  constructor(reason, isForNow) {
    super(reason);
    Object.assign(this, { reason, isForNow });
  }
}

export class Link {
  /** @param waiting called with a label while there is no connection, and with "" afterwards */
  constructor(waiting) {
    this.waiting = waiting;
  }

  /** Come to the study, by the address or by what this browser kept; return the page. */
  async begin(language) {
    const { rater = "", key = "" } = load();
    const query = Object.fromEntries(new URLSearchParams(location.search));
    const page = await this.send("/begin", { query, rater, key, language });
    if (page.rater !== rater) keep({ pending: null }); // another rater on this device
    keep({ rater: page.rater, key: page.key });
    const { pending } = load();
    if (!pending) return page;
    try {
      return await this.deliver(pending);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return page;
    }
  }

  /** Send something that must not be lost; it is tried again until the server has answered. */
  async deliver(pending) {
    keep({ pending });
    try {
      const page = await this.send(pending.path, pending.body);
      keep({ pending: null });
      return page;
    } catch (error) {
      if (error instanceof Refused && !error.isForNow) keep({ pending: null });
      throw error;
    }
  }

  /** Deliver what still waits in this browser, else ask for the page that is on. */
  again() {
    const { pending } = load();
    return pending ? this.deliver(pending) : this.send("/now");
  }

  /** Fill in a page. */
  fill(step, given = {}) {
    return this.deliver({ path: "/fill", body: { step, given } });
  }

  /** Send a message of the annotator; an answer gets a key, by which it is stored once. */
  act(message) {
    if (message.kind !== "answer") return this.send("/act", { message });
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return this.deliver({ path: "/act", body: { key, message } });
  }

  /** Return the bytes of a sound. */
  async sound(path) {
    const response = await fetch(path, { headers: this.headers() });
    if (!response.ok) throw new Error(response.status);
    return response.arrayBuffer();
  }

  /** Send a request until there is an answer; return its content. */
  async send(path, body) {
    for (let tries = 0; ; tries += 1) {
      const response = await this.request(path, body);
      if (response?.ok) {
        this.waiting("");
        return response.json();
      }
      // No connection, a server that is starting, or too quick: the same request again.
      if (response && response.status !== 429 && ![502, 504].includes(response.status)) {
        const { refused = "failed" } = await response.json().catch(() => ({}));
        throw new Refused(refused, response.status >= 500);
      }
      if (tries > 0) this.waiting(response?.status === 429 ? "slow down" : "offline");
      await pause(WAITS[Math.min(tries, WAITS.length - 1)]);
    }
  }

  async request(path, body) {
    const options = { headers: this.headers(), cache: "no-store" };
    if (body) {
      Object.assign(options, { method: "POST", body: JSON.stringify(body) });
      options.headers["Content-Type"] = "application/json";
    }
    try {
      return await fetch(path, { ...options, signal: AbortSignal.timeout(15000) });
    } catch {
      return null;
    }
  }

  headers() {
    const { rater = "", key = "" } = load();
    return rater ? { Rater: encodeURIComponent(rater), Authorization: `Bearer ${key}` } : {};
  }
}
