/** The sequences of a search, by where they end in its record. */

/**
 * As nbllm/widgets/beam_sequences.py writes it.
 * @typedef {{rank: number | null, step: number, place: number, text: string, same: number,
 *   score: number | null, cumulative_logprob: number | null, num_tokens: number, ended: string,
 *   selected: boolean}} Line
 * @typedef {import("./beam_record.js").BeamRecord} Search
 * @typedef {import("./beam_record.js").Candidate} Candidate
 */

export class BeamResults {
  /** @param {Search} record @param {Line[]} lines @param {number} penalty the length penalty */
  constructor(record, lines, penalty) {
    this.record = record;
    // a search may be newer than its lines, for a moment
    this.lines = lines.filter(line => line.step < 0 || record.has(line));
    this.penalty = penalty;
    /** @type {Map<number, Line>} by the key of its last candidate */
    this.ends = new Map();
    /** @type {Map<number, number>} the best rank of those that lead through a candidate */
    this.through = new Map();
    for (const line of this.lines.filter(({ step }) => step >= 0)) {
      this.ends.set(record.key(line), line);
      if (line.rank !== null) {
        this.mark(line, line.rank);
      }
    }
    this.returned = this.lines.filter(line => line.rank !== null).length;
  }

  /** @param {Line} line @param {number} rank */
  mark(line, rank) {
    for (const candidate of this.record.path(line)) {
      const key = this.record.key(candidate);
      this.through.set(key, Math.min(rank, this.through.get(key) ?? rank));
    }
  }

  /** Of the sequence that ends with a candidate; null: it is not returned. @param {Candidate} candidate */
  rank(candidate) {
    return this.ends.get(this.record.key(candidate))?.rank ?? null;
  }

  /** Of the best sequence that leads through a candidate. @param {Candidate} candidate */
  best(candidate) {
    return this.through.get(this.record.key(candidate)) ?? null;
  }

  /** @param {Candidate} candidate */
  selected(candidate) {
    return this.ends.get(this.record.key(candidate))?.selected ?? false;
  }

  /** @param {Candidate} candidate */
  score(candidate) {
    return this.record.score(candidate, this.penalty);
  }
}
