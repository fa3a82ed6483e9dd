// Plays one of three sounds at a time (the original, A, B) and moves between them in time.
//
// Everything is scheduled slightly ahead on the audio clock, so that the position after a switch
// does not depend on how busy the page is.

const FADE = 0.02; // s, fade at a switch between two sounds
const EDGE = 0.005; // s, fade at a start from silence and at an end
const LEAD = 0.04; // s, how far ahead of the audio clock sounds are scheduled
const AROUND_SEAM = 4; // s, played before and after a seam
const SEAM_MARGIN = 0.5; // s, heard on both sides of a seam before it counts as heard

/** The page's only AudioContext; it is suspended until a click or a key starts it. */
const audioContext = () => (globalThis.rlhfAudioContext ??= new AudioContext());

const curve = (law) => Float32Array.from({ length: 65 }, (_, i) => law((i / 64) * (Math.PI / 2)));
// Two different sounds add in power. The same sound adds in amplitude and must not get louder.
const FADES = {
  different: [curve(Math.sin), curve(Math.cos)],
  same: [curve((x) => Math.sin(x) ** 2), curve((x) => Math.cos(x) ** 2)],
};

export class Player {
  /** @param onChange called when a sound starts, and when it reaches its end */
  constructor(onChange) {
    this.onChange = onChange;
    this.loop = false;
    this.clear();
  }

  /** Stop and release all sounds. */
  clear() {
    this.silence();
    this.tracks = {};
    this.side = "A";
    this.at = 0; // s in the sound of this.side, while nothing plays
    this.span = null; // {centre, start, stop} in s: the surroundings of a seam
    this.heard = { O: 0, A: 0, B: 0 }; // s
    this.seamsHeard = { O: new Set(), A: new Set(), B: new Set() };
  }

  /** Decode a sound; `bytes` is an ArrayBuffer, which decoding detaches. */
  async load(side, bytes, timeline) {
    const tracks = this.tracks; // a new task may replace it during decoding
    const buffer = await audioContext().decodeAudioData(bytes);
    tracks[side] = { buffer, timeline, seams: seamsOf(timeline) };
  }

  get playing() {
    return this.voice !== null;
  }

  /** The position in s in the sound of `side`; for another side, at the same moment of the song. */
  position(side = this.side) {
    const here = this.voice ? this.reached(audioContext().currentTime) : this.at;
    return side === this.side ? here : this.moment(side, here).seconds;
  }

  /** The song's beat that sounds at the current position. */
  beat() {
    const { timeline } = this.tracks[this.side];
    return timeline.beats[placeAt(timeline, this.position())];
  }

  async play() {
    if (this.playing || !this.tracks[this.side]) return;
    // The clock stands still until the browser has started the sound.
    await audioContext().resume();
    if (this.playing || !this.tracks[this.side]) return;
    this.start(this.side, this.at, "different", EDGE);
    this.onChange();
  }

  pause() {
    if (!this.playing) return;
    this.at = this.position();
    this.silence();
  }

  /** Continue in another sound at the same moment of the song; start if nothing plays. */
  switchTo(side) {
    if (!this.tracks[side]) return;
    if (side !== this.side) {
      const when = audioContext().currentTime + LEAD;
      const here = this.playing ? this.reached(when) : this.at;
      const { seconds, exact } = this.moment(side, here);
      if (this.span) this.moveSpan(side, seconds);
      if (this.playing) this.start(side, seconds, exact ? "same" : "different", FADE, when);
      [this.side, this.at] = [side, seconds];
    }
    this.play();
  }

  /** Move to `seconds` in a sound; if nothing plays, start only when `play` is true. */
  seek(side, seconds, play) {
    if (!this.tracks[side]) return;
    const end = duration(this.tracks[side].timeline);
    this.span = null;
    this.jump(side, Math.min(Math.max(seconds, 0), end), play);
  }

  /** Play around the next seam (step 1) or the one before (−1); return false if there is none. */
  playSeam(step) {
    const track = this.tracks[this.side];
    if (!track?.seams.length) return false;
    const here = this.span ? this.span.centre : this.position();
    const seams = step > 0 ? track.seams : track.seams.toReversed();
    const seam = seams.find((second) => (second - here) * step > 0.01) ?? seams[0];
    this.span = around(seam, track.timeline);
    this.jump(this.side, this.span.start, true);
    return true;
  }

  // The methods below are internal.

  moment(side, seconds) {
    return sameMoment(this.tracks[this.side].timeline, this.tracks[side].timeline, seconds);
  }

  reached(when) {
    const { at, start, until } = this.voice;
    return Math.min(at + Math.max(0, when - start), until);
  }

  jump(side, seconds, play) {
    if (this.playing) this.start(side, seconds, "different", FADE);
    [this.side, this.at] = [side, seconds];
    if (play) this.play();
  }

  /** Keep the span around the same seam if it contains the moment reached. */
  moveSpan(side, seconds) {
    const centre = this.moment(side, this.span.centre).seconds;
    const span = around(centre, this.tracks[side].timeline);
    this.span = span.start <= seconds && seconds < span.stop ? span : null;
  }

  start(side, at, law, fade, when = audioContext().currentTime + LEAD) {
    const context = audioContext();
    if (this.playing) this.end(this.voice, when, law, fade);
    const { buffer, timeline } = this.tracks[side];
    const source = new AudioBufferSourceNode(context, { buffer });
    // A gain for each direction, because curves on one gain may not overlap. The rise starts at 0,
    // because the first sample can come slightly before the curve.
    const [rise, fall] = [new GainNode(context, { gain: 0 }), new GainNode(context)];
    source.connect(rise).connect(fall).connect(context.destination);
    rise.gain.setValueCurveAtTime(FADES[law][0], when, fade);
    source.start(when, at);
    const until = this.span ? this.span.stop : duration(timeline);
    const voice = { side, source, fall, at, start: when, until, counted: at };
    if (this.span) this.end(voice, when + Math.max(until - at, fade), "different", EDGE);
    source.onended = () => {
      source.disconnect();
      fall.disconnect();
      if (this.voice === voice) this.ended();
    };
    [this.voice, this.side] = [voice, side];
  }

  end(voice, when, law, fade) {
    this.count();
    voice.fall.gain.cancelScheduledValues(0);
    voice.fall.gain.setValueCurveAtTime(FADES[law][1], when, fade);
    voice.source.stop(when + fade);
  }

  silence() {
    if (this.voice) this.end(this.voice, audioContext().currentTime, "different", EDGE);
    this.voice = null;
  }

  ended() {
    this.count();
    this.voice = null;
    this.at = this.span ? this.span.start : 0;
    if (this.span && this.loop) this.play();
    else this.onChange();
  }

  /** Add the time played since the last count to the time heard. */
  count() {
    const voice = this.voice;
    if (!voice) return;
    const here = this.reached(audioContext().currentTime);
    this.heard[voice.side] += here - voice.counted;
    voice.counted = here;
    const { seams, timeline } = this.tracks[voice.side];
    for (const seam of seams) {
      const from = Math.max(seam - SEAM_MARGIN, 0);
      const to = Math.min(seam + SEAM_MARGIN, duration(timeline));
      if (voice.at <= from && here >= to) this.seamsHeard[voice.side].add(seam);
    }
  }
}

const around = (second, timeline) => ({
  centre: second,
  start: Math.max(0, second - AROUND_SEAM),
  stop: Math.min(duration(timeline), second + AROUND_SEAM),
});
