/** Which candidates are drawn, and where: a column a step, the best on top. */

/**
 * @typedef {import("./beam_record.js").Candidate} Candidate
 * @typedef {import("./beam_results.js").BeamResults} Results
 * @typedef {{live: boolean, finished: boolean, pruned: boolean, least: number}} Filter
 */

// of a step's pruned candidates, which are most, the tree has the best
const MOST_PRUNED = 6;

export class BeamColumns {
  /** @param {Results} results @param {Filter} filter */
  constructor(results, filter) {
    this.results = results;
    this.filter = filter;
    /** @type {{places: number[], rows: Map<number, number>}[]} made when they are first needed */
    this.columns = [];
    /** @type {number | null} */
    this.most = null;
  }

  /** Whether a candidate passes the filter. @param {Candidate} candidate */
  passes(candidate) {
    const { filter, results } = this;
    return filter[results.record.state(candidate)] && results.score(candidate) >= filter.least;
  }

  /** All that pass, best first. @param {number} step @returns {number[]} places */
  all(step) {
    const order = this.results.record.steps[step]?.order ?? [];
    return order.filter(place => this.passes({ step, place }));
  }

  /** Those that the tree has. @param {number} step */
  column(step) {
    this.columns[step] ??= this.made(step);
    return this.columns[step];
  }

  /** @param {number} step */
  made(step) {
    let pruned = 0;
    const { record } = this.results;
    const places = this.all(step).filter(
      place => record.state({ step, place }) !== "pruned" || pruned++ < MOST_PRUNED,
    );
    return { places, rows: new Map(places.map((place, row) => [place, row])) };
  }

  /** -1: it is not drawn. @param {Candidate} candidate */
  row({ step, place }) {
    return this.column(step).rows.get(place) ?? -1;
  }

  /** The most candidates in a column. */
  get height() {
    const { steps } = this.results.record;
    this.most ??= Math.max(1, ...steps.map((_, step) => this.column(step).places.length));
    return this.most;
  }
}
