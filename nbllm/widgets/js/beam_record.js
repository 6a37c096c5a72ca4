/** A beam search as a page knows it: the candidates of every step, and what follows from them. */

/**
 * As nbllm/widgets/beam_record.py writes it. A candidate's place in its step is beam * C + its rank
 * within the beam; steps count from 0 here, from 1 for people.
 * @typedef {{run: number, prompt: string, single: boolean, width: number, candidates: number, first: (number | null)[],
 *   groups: number, ends: number[]}} Head
 * @typedef {{start: number, steps: number, pieces: [number, string][], special: number[],
 *   texts: [number, number, string][]}} Said
 * @typedef {{step: number, place: number}} Candidate
 * @typedef {Record<string, DataView>} Buffers
 */

// the order of a message's buffers
const BUFFERS = ["tokens", "logprobs", "completed", "kept", "scores"];

/** @param {DataView[]} buffers @returns {Buffers} */
export function named(buffers) {
  return Object.fromEntries(BUFFERS.map((name, i) => [name, buffers[i]]));
}

/** One step: arrays by place, [W * C], or by beam, [W]. */
class BeamStep {
  /**
   * @param {ArrayLike<number>} before scores of the beams that this step continues
   * @param {{tokens: Int32Array, logprobs: Float32Array, completed: Uint8Array, kept: Int32Array,
   *   scores: Float64Array}} arrays
   * @param {boolean} single whether the search adds up in single precision
   */
  constructor(before, { tokens, logprobs, completed, kept, scores }, single) {
    const size = tokens.length;
    const each = size / kept.length;
    this.tokens = tokens;
    this.logprobs = logprobs;
    this.completed = completed;
    this.kept = kept;
    this.scores = scores;
    const sums = Float64Array.from(logprobs, (p, place) => before[Math.floor(place / each)] + p);
    /** Cumulative log-probabilities; -Infinity: no candidate. */
    this.totals = single ? Float32Array.from(sums) : sums;
    const { totals } = this;
    /** The places of all candidates, best first. */
    this.order = [...totals.keys()]
      .filter(place => totals[place] > -Infinity)
      .sort((a, b) => totals[b] - totals[a] || a - b);
    /** From 1; 0: no candidate. */
    this.ranks = new Int32Array(size);
    this.order.forEach((place, i) => (this.ranks[place] = i + 1));
    /** The beam that a candidate became; -1: none. */
    this.beams = new Int16Array(size).fill(-1);
    kept.forEach((place, beam) => scores[beam] > -Infinity && (this.beams[place] = beam));
    /** The last step in which somebody descends from the beam. */
    this.last = new Int32Array(kept.length);
    this.worst = Math.min(...scores.filter(score => score > -Infinity));
  }
}

export class BeamRecord {
  /** @param {Head} head */
  constructor({ run, prompt, single, width, candidates, first, groups, ends }) {
    this.run = run;
    this.prompt = prompt;
    this.single = single;
    this.width = width;
    this.each = candidates;
    this.first = first.map(score => score ?? -Infinity);
    this.groups = groups;
    this.ends = new Set(ends);
    /** @type {BeamStep[]} */
    this.steps = [];
    /** @type {Map<number, string>} */
    this.pieces = new Map();
    /** @type {Set<number>} */
    this.special = new Set();
    /** @type {Map<number, string>} by key of the candidate */
    this.texts = new Map();
  }

  /** The next steps. @param {Said} said @param {Buffers} buffers */
  append({ start, steps, pieces, special, texts }, buffers) {
    const count = steps - start;
    const [beams, size] = [this.width, this.width * this.each];
    const tokens = typed(Int32Array, buffers.tokens);
    const logprobs = typed(Float32Array, buffers.logprobs);
    const completed = typed(Uint8Array, buffers.completed);
    const kept = typed(Int32Array, buffers.kept);
    const scores = typed(Float64Array, buffers.scores);
    for (let i = 0; i < count; i++) {
      const [a, b] = [i * size, (i + 1) * size];
      const [c, d] = [i * beams, (i + 1) * beams];
      const arrays = {
        tokens: tokens.subarray(a, b),
        logprobs: logprobs.subarray(a, b),
        completed: completed.subarray(a, b),
        kept: kept.subarray(c, d),
        scores: scores.subarray(c, d),
      };
      const before = this.steps.at(-1)?.scores ?? this.first;
      this.steps.push(new BeamStep(before, arrays, this.single));
    }
    pieces.forEach(([token, text]) => this.pieces.set(token, text));
    special.forEach(token => this.special.add(token));
    texts.forEach(([step, beam, text]) => {
      this.texts.set(this.key({ step, place: this.steps[step].kept[beam] }), text);
    });
    this.follow();
  }

  /** Find how long the descendants of each beam live. */
  follow() {
    this.steps.forEach((step, s) => step.last.fill(s));
    for (let s = this.steps.length - 1; s > 0; s--) {
      const [{ kept, scores, last }, before] = [this.steps[s], this.steps[s - 1].last];
      kept.forEach((place, beam) => {
        const parent = Math.floor(place / this.each);
        if (scores[beam] > -Infinity && last[beam] > before[parent]) {
          before[parent] = last[beam];
        }
      });
    }
  }

  /** @param {Candidate} candidate */
  key({ step, place }) {
    return step * this.width * this.each + place;
  }

  /** @param {Candidate} candidate */
  has({ step, place }) {
    return (this.steps[step]?.ranks[place] ?? 0) > 0;
  }

  /** What a candidate continues; null: the prompt. @param {Candidate} candidate */
  parent({ step, place }) {
    return step
      ? { step: step - 1, place: this.steps[step - 1].kept[Math.floor(place / this.each)] }
      : null;
  }

  /** From the first step to this candidate. @param {Candidate} candidate @returns {Candidate[]} */
  path(candidate) {
    /** @type {Candidate[]} */
    const found = [];
    /** @type {Candidate | null} */
    let at = candidate;
    while (at) {
      found.push(at);
      at = this.parent(at);
    }
    return found.reverse();
  }

  /** The likeliest candidate after this one; null: none. @param {Candidate} candidate */
  child({ step, place }) {
    const [beam, next] = [this.steps[step].beams[place], this.steps[step + 1]];
    const found = beam < 0 ? undefined : next?.order.find(p => Math.floor(p / this.each) === beam);
    return found === undefined ? null : { step: step + 1, place: found };
  }

  /** @param {Candidate} candidate */
  token({ step, place }) {
    return this.steps[step].tokens[place];
  }

  /** What it adds to the text. @param {Candidate} candidate */
  text(candidate) {
    return this.texts.get(this.key(candidate)) ?? this.pieces.get(this.token(candidate)) ?? "";
  }

  /** Of a path, without special tokens. @param {Candidate[]} path */
  words(path) {
    return path.filter(c => !this.special.has(this.token(c))).map(c => this.text(c)).join("");
  }

  /** @param {Candidate} candidate @param {number} penalty the length penalty */
  score({ step, place }, penalty) {
    return this.steps[step].totals[place] / (step + 1) ** penalty;
  }

  /** @param {Candidate} candidate @returns {"finished" | "live" | "pruned"} */
  state({ step, place }) {
    const { completed, beams } = this.steps[step];
    return completed[place] ? "finished" : beams[place] < 0 ? "pruned" : "live";
  }

  /** The last step in which somebody descends from it. @param {Candidate} candidate */
  last({ step, place }) {
    const { beams, last } = this.steps[step];
    return beams[place] < 0 ? step : last[beams[place]];
  }
}

/**
 * A copy: where a message's buffers begin need not suit the numbers in them.
 * @template T
 * @param {new (buffer: ArrayBuffer) => T} Kind
 * @param {DataView} data
 * @returns {T}
 */
function typed(Kind, data) {
  const { buffer, byteOffset, byteLength } = data;
  return new Kind(/** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength)));
}
