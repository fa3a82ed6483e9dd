// The annotator: shows the screen that Python sends, plays the sounds, sends the answers.
// `model` is that of anywidget in a notebook; the page of a study brings one with the same methods.
// Python joins timeline.js, player.js, sounds.js, page.js and this file into one module.

const PATIENCE = 6000; // ms without an answer from Python until the page shows a message
const PATIENCE_FOR_SOUND = 60000; // longer, because the network may be slow
const BROKEN = "sound did not play"; // the tag of a pair that was skipped for that
const SEEK_STEP = 5; // s, arrow keys on a map

function render({ model, el }) {
  const player = new Player(() => refresh());
  let screen = {};
  let form = {};
  const sounds = new Sounds((serial, side) => ask("sound", { serial, side }), take);
  let waiting = 0;
  let frame = 0;
  const labels = model.get("labels");
  const label = (name, values) => fill(labels[name], values);

  const act = {
    listen: (side) => player.switchTo(side),
    seek: (side, share) => player.seek(side, share * soundEnd(side), true),
    playOrPause: () => (player.playing ? player.pause() : player.play()),
    seam: (step) => {
      if (!player.playSeam(step) && player.tracks[player.side]) {
        say(player.side === "O" ? label("no seams") : label("no seam"));
      }
    },
    loop: () => (player.loop = !player.loop),
    choose: (code) => {
      if (unlocked() && !parts.answers[code].hidden) form.answer = code;
    },
    tag: (tag) => form.tags[form.tags.has(tag) ? "delete" : "add"](tag),
    confide: (text) => (form.confidence = form.confidence === text ? null : text),
    save,
    skip: () => send({ answer: "Can't tell", confidence: null, tags: [BROKEN] }),
    undo: () => ask("undo"),
    keep: () => ask("keep"),
    rest: () => (player.pause(), ask("rest")),
    goOn: () => ask("go on"),
    again: () => ask("again"),
    signIn: (event) => {
      event.preventDefault();
      ask("sign in", { rater: parts.rater.value.trim() });
    },
  };
  for (const [name, does] of Object.entries(act)) {
    if (name === "signIn") continue;
    act[name] = (...given) => {
      does(...given);
      // After a click the keys work at once: the focus goes back to the annotator itself.
      if (globalThis.event?.detail > 0) parts.root.focus({ preventScroll: true });
      refresh();
    };
  }
  const parts = build(act, labels);
  const keys = {
    " ": act.playOrPause,
    a: () => act.listen("A"),
    b: () => act.listen("B"),
    o: () => act.listen("O"),
    n: () => act.seam(1),
    p: () => act.seam(-1),
    u: act.undo,
    Enter: act.save,
    ...Object.fromEntries(
      Object.entries(ANSWER_KEYS).map(([key, answer]) => [key, () => act.choose(answer)]),
    ),
  };

  const unlocked = () => screen.previous || (enough("A") && enough("B"));

  /** Return whether a side was heard for long enough, or at each of its seams. */
  function enough(side) {
    const track = player.tracks[side];
    if (!track) return false;
    const seams = player.seamsHeard[side].size;
    return player.heard[side] >= least(track) || (seams > 0 && seams === track.seams.length);
  }

  const least = (track) => Math.min(screen.min_seconds, duration(track.timeline) - 0.1);

  const soundEnd = (side) => (player.tracks[side] ? duration(player.tracks[side].timeline) : 0);

  function ask(kind, more = {}) {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      sounds.stop();
      parts.root.classList.add("stuck");
      say(label("stuck"), true);
      refresh();
    }, kind === "sound" ? PATIENCE_FOR_SOUND : PATIENCE);
    model.send({ kind, serial: screen.serial, ...more });
  }

  function answered() {
    clearTimeout(waiting);
    if (parts.root.classList.contains("stuck")) say("");
    parts.root.classList.remove("stuck");
  }

  function say(text, isError = false) {
    parts.message.textContent = text;
    parts.message.classList.toggle("error", isError);
    parts.message.setAttribute("role", isError ? "alert" : "status");
  }

  function save() {
    if (!form.answer || screen.stage !== "rate" || !unlocked()) return;
    send({ answer: form.answer, confidence: form.confidence, tags: [...form.tags] });
  }

  function send(answer) {
    player.count();
    const heard = { left: player.heard.A, right: player.heard.B, original: player.heard.O };
    heard.seams = player.seamsHeard.A.size + player.seamsHeard.B.size;
    ask("answer", { ...answer, notes: parts.notes.value, heard });
  }

  function loadSounds() {
    if (!screen.timelines) return say(label("no sound", { side: labels.sides.O }), true);
    say(label("loading"));
    const missing = SIDES.filter((side) => !player.tracks[side]);
    sounds.bring(screen.serial, missing, screen.next);
  }

  /** Load a sound of the task on screen. */
  async function take(side, bytes) {
    const { serial, timelines } = screen;
    try {
      await player.load(side, bytes, timelines[side]);
    } catch (error) {
      say(label("cannot play", { side: labels.sides[side], error: error.message }), true);
      refresh();
      return;
    }
    if (serial !== screen.serial) return;
    const songEnd = timelines.O.beats.length;
    if (screen.maps) drawMap(parts.tracks[side].map, { ...player.tracks[side], songEnd });
    if (!soundMissing()) say(screen.error, Boolean(screen.error));
    refresh();
  }

  function receive({ kind, serial, side, error }, buffers) {
    if (kind !== "sound") return;
    answered();
    if (error) {
      sounds.stop();
      if (serial === screen.serial) say(label("no sound", { side: labels.sides[side] }), true);
    } else {
      const { buffer, byteOffset, byteLength } = buffers[0];
      sounds.receive(serial, side, buffer.slice(byteOffset, byteOffset + byteLength));
    }
    refresh();
  }

  /** Show the screen that Python sent; for the same task, keep what is filled in. */
  function show() {
    answered();
    const before = screen;
    screen = model.get("screen");
    if (screen.stage !== "rate") player.clear();
    else if (screen.serial !== before.serial || before.stage !== "rate") {
      player.clear();
      const earlier = screen.previous ?? {};
      form = { answer: earlier.answer, confidence: earlier.confidence, tags: new Set(earlier.tags) };
      parts.notes.value = earlier.notes ?? "";
      for (const side of SIDES) drawMap(parts.tracks[side].map, null);
      loadSounds();
      if (before.stage && document.activeElement !== parts.notes) parts.root.focus({ preventScroll: true });
    } else if (screen.error) say(screen.error, true);
    else if (soundMissing() && !sounds.busy) loadSounds();
    parts.refusal.textContent = screen.stage === "sign in" ? screen.error : "";
    refresh();
    if (before.stage === "sign in") parts.root.scrollIntoView({ block: "nearest" });
  }

  function refresh() {
    const ready = screen.stage === "rate" && !screen.paused;
    const { root } = parts;
    root.dataset.stage = screen.stage;
    root.dataset.maps = screen.maps;
    parts.signIn.hidden = screen.stage !== "sign in";
    refreshHeader();
    parts.cover.hidden = ready || screen.stage === "sign in";
    parts.task.inert = !ready;
    parts.goOn.hidden = screen.stage === "done";
    parts.reopen.hidden = screen.stage !== "done" || !screen.can_undo;
    parts.coverText.textContent = labels[screen.cover] ?? "";
    parts.answers["Both bad"].hidden = !screen.both_bad;
    parts.place.hidden = !screen.maps;
    for (const [text, one] of Object.entries(parts.answers)) {
      press(one, form.answer === text);
      one.disabled = !unlocked();
    }
    for (const [tag, one] of Object.entries(parts.tags)) press(one, form.tags?.has(tag));
    for (const [text, one] of Object.entries(parts.confidences)) press(one, form.confidence === text);
    press(parts.loop, player.loop);
    parts.save.disabled = !form.answer || !unlocked();
    const failed = parts.message.classList.contains("error") && soundMissing();
    parts.retry.hidden = !failed && !root.classList.contains("stuck");
    parts.skip.hidden = !failed;
    parts.undo.disabled = !screen.can_undo;
    parts.keep.hidden = !screen.previous;
    follow();
  }

  const soundMissing = () => screen.stage === "rate" && SIDES.some((side) => !player.tracks[side]);

  function press(button, on) {
    button.setAttribute("aria-pressed", String(Boolean(on)));
  }

  function refreshHeader() {
    const [done, total] = screen.progress ?? [0, 1];
    [parts.bar.max, parts.bar.value] = [Math.max(total, 1), done];
    const known = [screen.rater, label("progress", { done, total })];
    if (screen.minutes_left) known.push(label("minutes left", { minutes: screen.minutes_left }));
    parts.progress.textContent = known.filter(Boolean).join(" · ");
    parts.rest.disabled = screen.stage !== "rate" || screen.paused;
    const notice = screen.notice ?? "";
    // Set only when it differs: screen readers read each change aloud.
    if (parts.notice.textContent !== notice) parts.notice.textContent = notice;
    parts.notice.hidden = !notice;
  }

  function hint() {
    if (screen.stage !== "rate") return "";
    if (screen.previous) return labels.earlier;
    const missing = ["A", "B"].filter((side) => !enough(side));
    if (!missing.length) return labels.question;
    const sides = missing.map((side) => labels.sides[side]).join(labels.and);
    return label("hear", { sides, seconds: screen.min_seconds });
  }

  /** Return how much of A and B was heard so far, until both were heard for long enough. */
  function toHear() {
    const known = player.tracks.A && player.tracks.B;
    if (!known || unlocked()) return "";
    const now = (side) => {
      if (enough(side)) return label("heard", { side: labels.sides[side] });
      const track = player.tracks[side];
      const heard = Math.floor(player.heard[side]);
      return label("to hear", { side: labels.sides[side], heard, least: Math.ceil(least(track)) });
    };
    return ["A", "B"].map(now).join(", ");
  }

  /** Follow the sound with the playheads, frame by frame while it plays. */
  function follow() {
    cancelAnimationFrame(frame);
    const { root } = parts;
    root.dataset.playing = player.playing;
    parts.play.firstChild.textContent = player.playing ? labels.pause : labels.play[0];
    const here = player.tracks[player.side];
    for (const side of SIDES) {
      const { row, listen, slider, head } = parts.tracks[side];
      const known = here && player.tracks[side];
      const share = known ? player.position(side) / soundEnd(side) : 0;
      head.style.left = `${share * 100}%`;
      slider.setAttribute("aria-valuenow", String(Math.round(share * 100)));
      row.classList.toggle("current", side === player.side);
      press(listen, player.playing && side === player.side);
      listen.disabled = !player.tracks[side];
    }
    if (here) {
      root.dataset.side = player.side;
      root.dataset.beat = player.beat();
      root.dataset.position = player.position().toFixed(4);
      parts.place.textContent = label("place", { beat: player.beat() + 1 });
    }
    const wasUnlocked = unlocked();
    player.count();
    parts.toHear.textContent = toHear();
    const said = hint();
    // Set only when it differs: screen readers read each change aloud.
    if (parts.hint.textContent !== said) parts.hint.textContent = said;
    if (player.playing) frame = requestAnimationFrame(unlocked() === wasUnlocked ? follow : refresh);
    else if (unlocked() !== wasUnlocked) refresh();
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("textarea, input");
    if (typing) {
      if (event.key === "Escape") parts.root.focus({ preventScroll: true });
      event.stopPropagation();
      return;
    }
    const slider = event.target.closest("[role=slider]");
    const step = { ArrowLeft: -SEEK_STEP, ArrowRight: SEEK_STEP }[event.key];
    if (slider && step) {
      const { side } = slider.parentElement.dataset;
      player.seek(side, player.position(side) + step, player.playing);
      event.preventDefault();
      refresh();
      return;
    }
    // A control that was reached with the Tab key is used with the space bar and Enter.
    const pressing = event.key === " " || event.key === "Enter";
    if (pressing && event.target.closest("button")) return;
    const does = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const allowed = screen.stage === "done" ? does === act.undo : !screen.paused;
    if (!does || !allowed) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) does();
  }

  parts.root.addEventListener("keydown", onKey);
  model.on("change:screen", show);
  model.on("msg:custom", receive);
  el.append(parts.root);
  show();

  return () => {
    player.clear();
    clearTimeout(waiting);
    cancelAnimationFrame(frame);
    model.off("change:screen", show);
    model.off("msg:custom", receive);
  };
}

export default { render };
