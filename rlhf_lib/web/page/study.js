// The pages of a study: shows the one that the server names, and sends what is filled in.

import annotator, { element, fill } from "./annotator.js";
import { Link, Refused } from "./link.js";

const CHOSEN = "rlhf-language"; // where the browser keeps the language that a rater chose

const study = await (await fetch("/page/study.json")).json();
const parts = Object.fromEntries(
  ["title", "language", "main", "message"].map((id) => [id, document.getElementById(id)]),
);
let labels = {};
let rating = null; // the annotator on the page: {receive, remove}

const link = new Link((label) => say(labels[label] ?? ""));

function say(text, isError = false) {
  parts.message.textContent = text;
  parts.message.classList.toggle("error", isError);
}

/** Do something that ends with another page, once; a refusal is told in the rater's words. */
async function go(request) {
  parts.main.inert = true;
  try {
    show(await request());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(labels[error.reason] ?? labels.failed, true);
    if (error.reason === "not there") location.reload();
  } finally {
    parts.main.inert = false;
  }
}

const button = (text, onclick, more = {}) =>
  element("button", { type: "button", class: "main", ...more, onclick }, text);

const next = (step, given) => go(() => link.fill(step, given));

const player = (path) => element("audio", { src: path, controls: "", preload: "none" });

const steps = {
  consent: ({ text }) => [
    ...paragraphs(text),
    button(labels.agree, () => next("consent")),
    element("p", { class: "soft" }, labels.decline),
  ],

  instructions: ({ paragraphs: shown }) => [
    ...shown.flatMap(({ text, sound }) => [
      ...paragraphs(text),
      ...(sound ? [player(`/example/${sound}`)] : []),
    ]),
    button(labels.continue, () => next("instructions")),
  ],

  background: ({ questions }) => {
    const form = element("form", {});
    for (const { name, text, options, required } of questions) {
      const field = options.length
        ? element(
            "select",
            { name },
            element("option", { value: "" }, labels.choose),
            ...options.map((option) => element("option", { value: option }, option)),
          )
        : element("input", { name, maxlength: "1000", autocomplete: "off" });
      field.required = required;
      const note = required ? "" : ` (${labels.optional})`;
      form.append(element("label", {}, element("span", {}, text + note), field));
    }
    form.append(element("button", { type: "submit", class: "main" }, labels.continue));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      next("background", Object.fromEntries(new FormData(form)));
    });
    return [form];
  },

  level: () => [
    ...paragraphs(labels["level text"]),
    player("/example/original"),
    button(labels["level done"], () => next("level")),
  ],

  headphones: ({ method, number, total, again }) => {
    const choices = labels.options.map((text, place) =>
      button(text, () => next("headphones", { number, place }), { class: "", disabled: "" }),
    );
    const play = button(labels["play trial"], async () => {
      play.disabled = true;
      await playOnce("/trial").finally(() => (play.disabled = false));
      for (const choice of choices) choice.disabled = false;
    });
    return [
      ...(again && number === 1 ? paragraphs(labels["headphones again"], "error") : []),
      ...paragraphs(labels["headphones text"][method]),
      element("p", { class: "soft" }, fill(labels.trial, { number, total })),
      play,
      element("div", { class: "row" }, ...choices),
    ];
  },

  pause: () => [
    ...paragraphs(labels["next sitting"]),
    button(labels["begin next sitting"], () => next("pause")),
  ],

  end: ({ text, code, redirect }) => [
    ...paragraphs(text),
    ...(code
      ? [element("p", {}, labels.code), element("p", { class: "code", id: "code" }, code)]
      : []),
    redirect
      ? element("a", { class: "main", href: redirect }, labels.redirect)
      : element("p", { class: "soft" }, labels.closed),
  ],

  "turned away": ({ why }) => paragraphs(labels[why]),
};

const paragraphs = (text, kind = "") =>
  text.split(/\n\s*\n/).map((one) => element("p", { class: kind }, one));

/** Play a sound from its beginning to its end. */
async function playOnce(path) {
  const context = (globalThis.rlhfAudioContext ??= new AudioContext());
  await context.resume();
  try {
    const buffer = await context.decodeAudioData(await link.sound(path));
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    await new Promise((done) => {
      source.onended = done;
      source.start();
    });
  } catch (error) {
    say(fill(labels.annotator["cannot play"], { side: "", error: error.message }), true);
  }
}

/** Show the page that the server named. */
function show(page) {
  say("");
  if (page.language && page.language !== document.documentElement.lang) translate(page.language);
  const isRating = page.step === "training" || page.step === "rate";
  document.body.dataset.step = page.step;
  if (isRating && rating?.step === page.step) return rating.receive(page);
  rating?.remove();
  rating = null;
  parts.main.replaceChildren(element("h2", {}, labels.steps[page.step]));
  if (isRating) rating = rate(page);
  else parts.main.append(...steps[page.step](page));
  if (!isRating) parts.main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** Put the annotator on the page; the object `model` takes the place of a notebook's kernel. */
function rate(first) {
  const { step } = first;
  let page = {};
  let delivering = null; // the serial of the answer that is on its way
  const listeners = {};
  const done = button(labels.continue, () => next(step), { class: "main finish" });
  const model = {
    get: (name) => (name === "labels" ? labels.annotator : page.screen),
    on: (event, does) => (listeners[event] = does),
    off: (event) => delete listeners[event],
    send: (message) => (message.kind === "sound" ? sound(message) : act(message)),
  };

  async function act(message) {
    if (message.kind === "answer" && message.serial === delivering) return; // pressed twice
    if (message.kind === "answer") delivering = message.serial;
    try {
      const answer = message.kind === "again" ? await link.again() : await link.act(message);
      show(answer);
      if (message.kind === "answer" && !answer.stored) say(labels.elsewhere);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.reason === "not there") location.reload();
      receive({ ...page, screen: { ...page.screen, error: labels[error.reason] ?? labels.failed } });
    } finally {
      delivering = null;
    }
  }

  async function sound({ serial, side }) {
    const message = { kind: "sound", serial, side };
    try {
      const buffer = await link.sound(`/sound/${page.sounds[serial][side]}`);
      const bytes = { buffer, byteOffset: 0, byteLength: buffer.byteLength };
      listeners["msg:custom"]?.(message, [bytes]);
    } catch {
      listeners["msg:custom"]?.({ ...message, error: true }, []);
    }
  }

  function receive(received) {
    page = received;
    page.screen.notice = labels[page.notice] ?? "";
    done.hidden = page.screen.stage !== "done";
    listeners["change:screen"]?.();
  }

  receive(first);
  if (step === "training") parts.main.append(...paragraphs(labels["training text"], "soft"));
  const remove = annotator.render({ model, el: parts.main });
  parts.main.append(done);
  return { step, receive, remove };
}

function translate(language) {
  labels = study.labels[language];
  document.documentElement.lang = language;
  const title = typeof study.title === "string" ? study.title : study.title[language];
  parts.title.textContent = document.title = title;
  parts.language.setAttribute("aria-label", labels.language);
  parts.language.value = language;
}

/** Return the language to begin with: as chosen here, in the address or in the browser. */
function wanted() {
  const inAddress = new URLSearchParams(location.search).get("lang");
  const asked = [localStorage.getItem(CHOSEN), inAddress, ...navigator.languages].filter(Boolean);
  const short = asked.map((one) => one.slice(0, 2));
  return [...asked, ...short].find((one) => study.languages.includes(one)) ?? study.languages[0];
}

parts.language.append(
  ...study.languages.map((code) => {
    const name = new Intl.DisplayNames([code], { type: "language" }).of(code);
    return element("option", { value: code }, name);
  }),
);
parts.language.hidden = study.languages.length < 2;
parts.language.addEventListener("change", () => {
  rating?.remove();
  rating = null;
  localStorage.setItem(CHOSEN, parts.language.value);
  go(() => link.begin(parts.language.value));
});
translate(wanted());
await go(() => link.begin(wanted()));
