// The elements of the annotator, and the edit maps.

/** The keys of the answers; the labels have their texts. */
export const ANSWER_KEYS = {
  1: "A strongly",
  2: "A",
  3: "A slightly",
  4: "Tie",
  5: "B slightly",
  6: "B",
  7: "B strongly",
  9: "Both bad",
  0: "Can't tell",
};

/** Return a label with its {values} filled in. */
export const fill = (label, values = {}) =>
  label.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

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

/** Build the page; `act` maps the names of actions to functions, `labels` are its texts. */
export function build(act, labels) {
  const parts = { tracks: {}, answers: {}, tags: {}, confidences: {} };
  const button = (key, [text, name], does, more = {}) =>
    element(
      "button",
      {
        type: "button",
        "aria-label": name,
        title: key ? fill(labels.key, { name, key }) : name,
        ...(key && { "aria-keyshortcuts": key }),
        ...more,
        onclick: does,
      },
      element("span", {}, text),
      ...(key ? [element("kbd", {}, key === " " ? labels.space : key)] : []),
    );
  const toggle = (group, code, text, name, chosen) => {
    parts[group][code] = button("", [text, name], chosen, { "aria-pressed": "false" });
    return parts[group][code];
  };
  for (const [side, key] of [["O", "o"], ["A", "a"], ["B", "b"]]) {
    const names = [labels.sides[side], labels.listen[side]];
    const listen = button(key, names, () => act.listen(side), {
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
    slider.setAttribute("aria-label", fill(labels.position, { side: labels.sides[side] }));
    slider.addEventListener("click", (event) => {
      const { left, width } = slider.getBoundingClientRect();
      act.seek(side, (event.clientX - left) / width);
    });
    const row = element("div", { class: "track", "data-side": side }, listen, slider);
    parts.tracks[side] = { row, listen, slider, map, head };
  }
  for (const [code, texts] of Object.entries(labels.answers)) {
    const key = Object.keys(ANSWER_KEYS).find((one) => ANSWER_KEYS[one] === code);
    const more = { "aria-pressed": "false", class: "answer" };
    if (code === "Both bad" || code === "Can't tell") more.class = "answer aside";
    parts.answers[code] = button(key, texts, () => act.choose(code), more);
  }
  const [play, previousSeam, nextSeam] = [
    button(" ", labels.play, act.playOrPause, { class: "play" }),
    button("p", labels["previous seam"], () => act.seam(-1)),
    button("n", labels["next seam"], () => act.seam(1)),
  ];
  const loop = button("", labels.loop, act.loop, { "aria-pressed": "false" });
  const notes = element("textarea", { "aria-label": labels.notes, rows: "2" });
  notes.placeholder = labels["notes hint"];
  const rater = element("input", { id: "rlhf-rater", autocomplete: "username", maxlength: "200" });
  rater.required = true;
  const signIn = element(
    "form",
    { class: "sign-in" },
    element("label", { for: "rlhf-rater" }, labels.who),
    rater,
    element("button", { type: "submit", class: "main" }, labels.begin),
  );
  signIn.addEventListener("submit", (event) => act.signIn(event));
  Object.assign(parts, {
    play, previousSeam, nextSeam, loop, notes, rater, signIn,
    bar: element("progress", { "aria-label": labels.bar }),
    progress: element("span", { class: "count" }),
    rest: button("", labels.rest, act.rest),
    notice: element("p", { class: "notice", role: "status" }),
    place: element("span", { class: "place" }),
    hint: element("span", { role: "status" }),
    toHear: element("strong"),
    message: element("p", { class: "message", role: "status" }),
    retry: button("", labels.again, act.again),
    skip: button("", labels.skip, act.skip),
    undo: button("u", labels.back, act.undo),
    keep: button("", labels.keep, act.keep),
    save: button("Enter", labels.save, act.save, { class: "main" }),
    cover: element("div", { class: "cover" }),
    coverText: element("p", { role: "status" }),
    goOn: button("", labels["go on"], act.goOn, { class: "main" }),
    reopen: button("u", labels.back, act.undo),
    refusal: element("p", { class: "message error", role: "alert" }),
  });
  parts.cover.append(parts.coverText, parts.goOn, parts.reopen);
  signIn.append(parts.refusal);
  const group = (name, title, ...children) =>
    element("div", { class: `field ${name}`, role: "group", "aria-label": title }, ...children);
  parts.task = element(
    "div",
    { class: "task" },
    ...Object.values(parts.tracks).map((track) => track.row),
    group("transport", labels.player, play, previousSeam, nextSeam, loop, parts.place),
    group("answers", labels.question, ...Object.values(parts.answers)),
    element("p", { class: "hint" }, parts.hint, " ", parts.toHear),
    group(
      "tags",
      labels["tags name"],
      element("span", { class: "title" }, labels["tags title"]),
      ...Object.entries(labels.tags).map(([tag, text]) =>
        toggle("tags", tag, text, fill(labels["tag name"], { tag: text }), () => act.tag(tag)),
      ),
    ),
    group(
      "confidence",
      labels["confidence name"],
      element("span", { class: "title" }, labels["confidence title"]),
      ...Object.entries(labels.confidences).map(([code, text]) =>
        toggle("confidences", code, text, fill(labels["sure name"], { sure: text }), () =>
          act.confide(code),
        ),
      ),
    ),
    notes,
    element(
      "div",
      { class: "footer" },
      parts.undo,
      parts.keep,
      parts.retry,
      parts.skip,
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
      "aria-label": labels.region,
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
