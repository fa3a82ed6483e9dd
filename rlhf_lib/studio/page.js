// The elements of the annotator, and the edit maps.

export const ANSWERS = [
  ["1", "A strongly", "A is much better"],
  ["2", "A", "A is better"],
  ["3", "A slightly", "A is slightly better"],
  ["4", "Tie", "Both are equally good"],
  ["5", "B slightly", "B is slightly better"],
  ["6", "B", "B is better"],
  ["7", "B strongly", "B is much better"],
  ["0", "Can't tell", "I cannot judge this pair"],
];
const NAMES = { O: "Original", A: "A", B: "B" };

/** Make an element; text is added as text, so markup in notes is shown as typed. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const button = (key, text, name, act, more = {}) =>
  element(
    "button",
    {
      type: "button",
      "aria-label": name,
      title: key ? `${name} (key: ${key})` : name,
      ...(key && { "aria-keyshortcuts": key }),
      ...more,
      onclick: act,
    },
    element("span", {}, text),
    ...(key ? [element("kbd", {}, key)] : []),
  );

/** Build the page; `act` maps the names of actions to functions. */
export function build(act, tags, confidences) {
  const parts = { tracks: {}, answers: {}, tags: {}, confidences: {} };
  const toggle = (group, text, name, chosen) => {
    parts[group][text] = button("", text, name, chosen, { "aria-pressed": "false" });
    return parts[group][text];
  };
  for (const [side, key] of [["O", "o"], ["A", "a"], ["B", "b"]]) {
    const name = `Listen to ${side === "O" ? "the original" : side}`;
    const listen = button(key, NAMES[side], name, () => act.listen(side), {
      class: "side",
      "aria-pressed": "false",
    });
    const map = emptyMap();
    const head = element("i", { class: "head" });
    const slider = element(
      "div",
      { class: "map", role: "slider", tabindex: "0", "aria-valuemin": "0", "aria-valuemax": "100" },
      map,
      head,
    );
    slider.setAttribute("aria-label", `Position in ${NAMES[side]}`);
    slider.addEventListener("click", (event) => {
      const { left, width } = slider.getBoundingClientRect();
      act.seek(side, (event.clientX - left) / width);
    });
    const row = element("div", { class: "track", "data-side": side }, listen, slider);
    parts.tracks[side] = { row, listen, slider, map, head };
  }
  for (const [key, text, name] of ANSWERS) {
    const more = { "aria-pressed": "false", class: "answer" };
    parts.answers[text] = button(key, text, name, () => act.choose(text), more);
  }
  const [play, previousSeam, nextSeam] = [
    button("space", "Play", "Play or pause", act.playOrPause, { class: "play" }),
    button("p", "‹ Seam", "Play around the previous seam", () => act.seam(-1)),
    button("n", "Seam ›", "Play around the next seam", () => act.seam(1)),
  ];
  const loop = button("", "Loop seam", "Repeat the seam until paused", act.loop, {
    "aria-pressed": "false",
  });
  const notes = element("textarea", { "aria-label": "Notes on this comparison", rows: "2" });
  notes.placeholder = "Why? (optional; Esc leaves the field)";
  const rater = element("input", { id: "rlhf-rater", autocomplete: "username", maxlength: "200" });
  rater.required = true;
  const signIn = element(
    "form",
    { class: "sign-in" },
    element("label", { for: "rlhf-rater" }, "Who listens? Your name or number:"),
    rater,
    element("button", { type: "submit", class: "main" }, "Begin"),
  );
  signIn.addEventListener("submit", (event) => act.signIn(event));
  Object.assign(parts, {
    play, previousSeam, nextSeam, loop, notes, rater, signIn,
    bar: element("progress", { "aria-label": "Comparisons rated" }),
    progress: element("span", { class: "count" }),
    rest: button("", "Pause", "Pause this sitting", act.rest),
    notice: element("p", { class: "notice", role: "status" }),
    place: element("span", { class: "place" }),
    hint: element("p", { class: "hint", role: "status" }),
    message: element("p", { class: "message", role: "status" }),
    retry: button("", "Try again", "Try again", act.again),
    undo: button("u", "Back", "Back to the previous answer", act.undo),
    keep: button("", "Keep it", "Leave this answer as it is", act.keep),
    save: button("Enter", "Save and next", "Save the answer", act.save, { class: "main" }),
    cover: element("div", { class: "cover" }),
    coverText: element("p", { role: "status" }),
    goOn: button("", "Go on", "Go on rating", act.goOn, { class: "main" }),
    reopen: button("u", "Back", "Back to the previous answer", act.undo),
    refusal: element("p", { class: "message error", role: "alert" }),
  });
  parts.cover.append(parts.coverText, parts.goOn, parts.reopen);
  signIn.append(parts.refusal);
  const group = (name, title, ...children) =>
    element("div", { class: `field ${name}`, role: "group", "aria-label": title }, ...children);
  const row = parts.answers;
  const cannotTell = row["Can't tell"];
  parts.task = element(
    "div",
    { class: "task" },
    ...Object.values(parts.tracks).map((track) => track.row),
    group("transport", "Player", play, previousSeam, nextSeam, loop, parts.place),
    group(
      "answers",
      "Which edit is better?",
      ...Object.values(row).filter((one) => one !== cannotTell),
      cannotTell,
    ),
    parts.hint,
    group(
      "tags",
      "What is wrong with the weaker one? (optional)",
      element("span", { class: "title" }, "The weaker one has"),
      ...tags.map((tag) =>
        toggle("tags", tag, `The weaker edit has this fault: ${tag}`, () => act.tag(tag)),
      ),
    ),
    group(
      "confidence",
      "How sure are you? (optional)",
      element("span", { class: "title" }, "I am"),
      ...confidences.map((text) =>
        toggle("confidences", text, `How sure I am: ${text}`, () => act.confide(text)),
      ),
    ),
    notes,
    element(
      "div",
      { class: "footer" },
      parts.undo,
      parts.keep,
      parts.retry,
      parts.message,
      parts.save,
    ),
  );
  parts.root = element(
    "div",
    {
      class: "rlhf-annotator",
      tabindex: "-1",
      role: "region",
      "aria-label": "Annotator: which of two edits is better?",
      // With this attribute JupyterLab switches its own shortcuts off.
      "data-lm-suppress-shortcuts": "true",
    },
    signIn,
    element("div", { class: "header" }, parts.bar, parts.progress, parts.rest),
    parts.notice,
    element("div", { class: "stage" }, parts.task, parts.cover),
  );
  return parts;
}

// A map is drawn in these units and stretched to its element; the style sheet has the colours.
const WIDE = 1000;
const TALL = 100;

function emptyMap() {
  const made = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
  const map = made("svg");
  map.setAttribute("viewBox", `0 0 ${WIDE} ${TALL}`);
  map.setAttribute("preserveAspectRatio", "none");
  map.setAttribute("aria-hidden", "true");
  for (const name of ["wave", "seam", "flag", "beats"]) {
    const path = made("path");
    path.setAttribute("class", name);
    map.append(path);
  }
  return map;
}

/** Draw an edit map: time to the right, the song from bottom to top, seams, the waveform behind. */
export function drawMap(map, track) {
  const { buffer, timeline, seams, songEnd } = track ?? {};
  const paths = { wave: "", seam: "", flag: "", beats: "" };
  if (track) {
    const x = (seconds) => ((seconds / duration(timeline)) * WIDE).toFixed(1);
    const y = (beat) => (TALL - 4 - (beat / songEnd) * (TALL - 8)).toFixed(1);
    peaks(buffer, WIDE).forEach((peak, column) => {
      const half = (0.5 + peak * 44).toFixed(1);
      paths.wave += `M${column + 0.5} ${TALL / 2 - half}v${2 * half}`;
    });
    for (const seam of seams) {
      paths.seam += `M${x(seam)} 0v${TALL}`;
      paths.flag += `M${x(seam)} 0v9`;
    }
    for (const [first, stop] of segmentsOf(timeline)) {
      const { starts, beats } = timeline;
      paths.beats += `M${x(starts[first])} ${y(beats[first])}`;
      paths.beats += `L${x(starts[stop])} ${y(beats[stop - 1] + 1)}`;
    }
  }
  for (const path of map.children) path.setAttribute("d", paths[path.getAttribute("class")]);
}

/** Return the largest absolute sample in each of `n` parts of a sound's first channel. */
function peaks(buffer, n) {
  const samples = buffer.getChannelData(0);
  const found = new Float32Array(n);
  const step = Math.max(1, Math.floor(samples.length / n / 64)); // enough for a picture
  for (let i = 0; i < samples.length; i += step) {
    const x = Math.min(n - 1, Math.floor((i / samples.length) * n));
    found[x] = Math.max(found[x], Math.abs(samples[i]));
  }
  return found;
}
