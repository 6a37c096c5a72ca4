/** What became of a candidate, and why, in words. */
import { percent } from "./probability.js";
import { oneLine } from "./visible.js";

/**
 * @typedef {import("./beam_record.js").Candidate} Candidate
 * @typedef {import("./beam_results.js").BeamResults} Results
 */

const TIE = 0.0005;

/** With a real minus. @param {number | null} value */
export function decimal(value) {
  return value === null || value === -Infinity ? "−∞" : value.toFixed(3).replace("-", "−");
}

/** In a few words. @param {Results} results @param {Candidate} candidate */
export function fate(results, candidate) {
  const { record } = results;
  const rank = results.rank(candidate);
  const returned = rank === null ? "" : `returned as #${rank}`;
  switch (record.state(candidate)) {
    case "finished":
      return `finished, ${returned || "outscored"}`;
    case "pruned":
      return `pruned: ${pruning(results, candidate)}`;
    default:
      return `kept, ${returned || future(results, candidate)}`;
  }
}

/** @param {Results} results @param {Candidate} candidate */
function future(results, candidate) {
  const { record } = results;
  const [last, best] = [record.last(candidate), results.best(candidate)];
  if (best !== null) {
    return `leads to #${best}`;
  }
  return last + 1 < record.steps.length ? `dropped after step ${last + 1}` : "outscored";
}

/** @param {Results} results @param {Candidate} candidate */
function pruning({ record }, candidate) {
  const step = record.steps[candidate.step];
  if (record.ends.has(record.token(candidate))) {
    return `it would end, but is not among the best ${record.width}`;
  }
  const missing = step.worst - step.totals[candidate.place];
  if (record.groups > 1 && missing <= 0) {
    return "its group kept others";
  }
  return missing < TIE ? "as likely as the last kept" : `${decimal(missing)} below the last kept`;
}

/** Everything about it, in a sentence. @param {Results} results @param {Candidate} candidate */
export function description(results, candidate) {
  const { record } = results;
  const step = record.steps[candidate.step];
  const logprob = step.logprobs[candidate.place];
  return [
    `step ${candidate.step + 1}, rank ${step.ranks[candidate.place]} of ${step.order.length}`,
    `“${oneLine(record.text(candidate))}” ${percent(logprob)}`,
    `log-probability ${decimal(step.totals[candidate.place])}`,
    `score ${decimal(results.score(candidate))}`,
    fate(results, candidate),
  ].join(" · ");
}
