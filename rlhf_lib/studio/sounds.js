// Fetches the sounds of the task on screen from Python, then those of the next task.

export class Sounds {
  /**
   * @param request called with a task's serial and a side to request this sound from Python
   * @param deliver called with a side and its bytes as soon as a sound of the task has arrived
   */
  constructor(request, deliver) {
    Object.assign(this, { request, deliver, serial: null, next: null, ahead: {}, queue: [] });
  }

  get busy() {
    return this.queue.length > 0;
  }

  /** Fetch these sides of a task; sounds of the task before it are dropped. */
  bring(serial, sides, next) {
    const here = serial === this.next ? this.ahead : {};
    if (next !== this.next) this.ahead = {}; // still compressed: decoding waits until it is shown
    [this.serial, this.next] = [serial, next];
    const later = next === null ? [] : SIDES.filter((side) => !this.ahead[side]);
    this.queue = [
      ...sides.filter((side) => !here[side]).map((side) => [serial, side]),
      ...later.map((side) => [next, side]),
    ];
    for (const side of sides) if (here[side]) this.deliver(side, here[side]);
    this.ask();
  }

  /** Take a sound that Python sent. */
  receive(serial, side, bytes) {
    const waited = this.queue.length;
    this.queue = this.queue.filter(([other, name]) => other !== serial || name !== side);
    if (this.queue.length === waited) return; // requested twice, or no longer needed
    if (serial === this.serial) this.deliver(side, bytes);
    else this.ahead[side] = bytes;
    this.ask();
  }

  /** Request no more sounds. */
  stop() {
    this.queue = [];
  }

  // One file at a time, so that an answer never waits behind more than one of them.
  ask() {
    if (this.busy) this.request(...this.queue[0]);
  }
}
