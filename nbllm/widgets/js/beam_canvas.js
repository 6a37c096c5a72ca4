/** Paints the part of a search's tree that is in view. */
import { oneLine } from "./visible.js";

/**
 * @typedef {import("./beam_record.js").Candidate} Candidate
 * @typedef {import("./beam_columns.js").BeamColumns} Columns
 * @typedef {{text: string, back: string, live: string, finished: string, dim: string,
 *   font: string}} Palette
 * @typedef {{width: number, height: number, gap: number, letters: number}} Grid in pixels; letters: of a
 *   token, 0 where they would be too small
 * @typedef {{columns: Columns, grid: Grid, palette: Palette, prompt: string, at: number,
 *   path: Candidate[], focus: Candidate | null}} Scene at: the step that is shown, from 0
 * @typedef {{left: number, top: number, width: number, height: number}} Window
 */

export const HEAD = 20;
const RADIUS = 3;
// the widest number of a step
const LABEL = 32;

/** @param {CanvasRenderingContext2D} ctx @param {Scene} scene @param {Window} view */
export function paint(ctx, scene, view) {
  const { grid, palette, columns, at } = scene;
  ctx.clearRect(0, 0, view.width, view.height);
  ctx.font = `12px ${palette.font}`;
  ctx.textBaseline = "middle";
  const first = Math.max(0, Math.floor(view.left / grid.width) - 1);
  const last = Math.min(at, Math.ceil((view.left + view.width) / grid.width));
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, HEAD, view.width, view.height - HEAD);
  ctx.clip();
  ctx.translate(-view.left, -view.top + HEAD);
  const onPath = new Set(scene.path.map(c => columns.results.record.key(c)));
  paintEdges(ctx, scene, first, last, onPath);
  paintPrompt(ctx, scene);
  for (let step = first; step <= last; step++) {
    paintColumn(ctx, scene, step, view, onPath);
  }
  ctx.restore();
  paintHead(ctx, scene, first, last, view);
}

/** @param {number} step @param {Grid} grid the left edge of a step's boxes; the prompt is column 0 */
export function leftOf(step, grid) {
  return (step + 1) * grid.width + grid.gap;
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {number} first
 * @param {number} last
 * @param {Set<number>} onPath
 */
function paintEdges(ctx, { columns, grid, palette, at }, first, last, onPath) {
  const { record } = columns.results;
  /** @type {Record<string, Path2D>} */
  const paths = { dim: new Path2D(), live: new Path2D(), finished: new Path2D(), path: new Path2D() };
  for (let step = first; step <= last; step++) {
    columns.column(step).places.forEach((place, row) => {
      const candidate = { step, place };
      const parent = record.parent(candidate);
      const from = parent ? columns.row(parent) : 0;
      const kind = onPath.has(record.key(candidate)) ? "path" : shade(columns, candidate, at);
      const fallen = kind === "dim" || kind === "pruned";
      // where all is small, what was dropped would cover the rest
      if (from >= 0 && (grid.letters || !fallen)) {
        join(paths[fallen ? "dim" : kind], step, from, row, grid);
      }
    });
  }
  stroke(ctx, paths.dim, palette.dim, 0.35, 1);
  stroke(ctx, paths.finished, palette.finished, 0.8, 1);
  stroke(ctx, paths.live, palette.live, 0.8, 1);
  stroke(ctx, paths.path, palette.live, 1, 3);
}

/**
 * @param {Path2D} path
 * @param {number} step
 * @param {number} from
 * @param {number} to
 * @param {Grid} grid
 */
function join(path, step, from, to, { width, height, gap }) {
  const [x, y] = [(step + 1) * width, (from + 0.5) * height];
  const end = (to + 0.5) * height;
  path.moveTo(x, y);
  path.bezierCurveTo(x + gap * 0.6, y, x + gap * 0.4, end, x + gap, end);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Path2D} path
 * @param {string} colour
 * @param {number} alpha
 * @param {number} width
 */
function stroke(ctx, path, colour, alpha, width) {
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke(path);
  ctx.globalAlpha = 1;
}

/**
 * How a candidate is drawn at the step that is shown: what was dropped since is dim, unless it leads to
 * a result that has finished.
 * @param {Columns} columns
 * @param {Candidate} candidate
 * @param {number} at
 */
function shade({ results }, candidate, at) {
  const { record } = results;
  const state = record.state(candidate);
  if (state === "finished") {
    return results.rank(candidate) === null ? "dim" : "finished";
  }
  if (state === "pruned") {
    return "pruned";
  }
  return record.last(candidate) >= at ? "live" : results.best(candidate) ? "finished" : "dim";
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {number} step
 * @param {Window} view
 * @param {Set<number>} onPath
 */
function paintColumn(ctx, scene, step, view, onPath) {
  const { columns, grid } = scene;
  const { places } = columns.column(step);
  const first = Math.max(0, Math.floor((view.top - HEAD) / grid.height));
  const last = Math.min(places.length, Math.ceil((view.top + view.height) / grid.height));
  for (let row = first; row < last; row++) {
    const candidate = { step, place: places[row] };
    paintBox(ctx, scene, candidate, row, onPath.has(columns.results.record.key(candidate)));
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {Candidate} candidate
 * @param {number} row
 * @param {boolean} marked
 */
function paintBox(ctx, scene, candidate, row, marked) {
  const { columns, grid, palette, at, focus } = scene;
  const { results } = columns;
  const kind = shade(columns, candidate, at);
  const colour = kind === "live" ? palette.live : kind === "finished" ? palette.finished : palette.dim;
  const [x, y] = [leftOf(candidate.step, grid), row * grid.height + 1];
  const [width, height] = [grid.width - grid.gap, grid.height - 3];
  if (!grid.letters) {
    ctx.fillStyle = marked ? palette.text : colour;
    ctx.globalAlpha = marked ? 1 : { live: 0.9, finished: 0.9, dim: 0.3, pruned: 0.1 }[kind];
    ctx.fillRect(x, y, width, height);
    ctx.globalAlpha = 1;
    return;
  }
  ctx.beginPath();
  ctx.roundRect(x, y, width, height, RADIUS);
  ctx.fillStyle = palette.back;
  ctx.fill();
  ctx.fillStyle = colour;
  ctx.globalAlpha = { live: 0.22, finished: 0.25, dim: 0.06, pruned: 0 }[kind];
  ctx.fill();
  ctx.globalAlpha = marked ? 1 : { live: 1, finished: 1, dim: 0.4, pruned: 0.3 }[kind];
  ctx.strokeStyle = marked ? palette.live : colour;
  ctx.lineWidth = marked ? 2 : 1;
  ctx.setLineDash(kind === "pruned" ? [2, 3] : []);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
  if (focus && focus.step === candidate.step && focus.place === candidate.place) {
    ctx.lineWidth = 2;
    ctx.strokeStyle = palette.text;
    ctx.strokeRect(x - 2.5, y - 2.5, width + 5, height + 5);
  }
  ctx.fillStyle = kind === "dim" || kind === "pruned" ? palette.dim : palette.text;
  ctx.fillText(label(results, candidate, grid), x + 4, y + height / 2 + 1, width - 8);
}

/**
 * What a box says: a mark of what became of it, and its token.
 * @param {import("./beam_results.js").BeamResults} results
 * @param {Candidate} candidate
 * @param {Grid} grid
 */
function label(results, candidate, grid) {
  const { record } = results;
  const rank = results.rank(candidate);
  const end = record.state(candidate) === "finished" ? "○ " : "";
  const mark = `${results.selected(candidate) ? "✓" : ""}${rank === null ? end : `#${rank} `}`;
  const text = [...oneLine(record.text(candidate)).replace(/^ /, "␣")];
  const room = grid.letters - mark.length;
  return mark + (text.length > room ? `${text.slice(0, room - 1).join("")}…` : text.join(""));
}

/** @param {CanvasRenderingContext2D} ctx @param {Scene} scene */
function paintPrompt(ctx, { grid, palette, prompt, path }) {
  const [width, height] = [grid.width, grid.height - 3];
  ctx.beginPath();
  ctx.roundRect(1, 1, width - 2, height, Math.min(RADIUS, height / 2));
  ctx.strokeStyle = path.length ? palette.live : palette.dim;
  ctx.lineWidth = path.length ? 2 : 1;
  ctx.stroke();
  if (grid.letters) {
    ctx.fillStyle = palette.dim;
    const letters = [...oneLine(prompt)];
    const room = grid.letters + 2;
    const text = letters.length > room ? `…${letters.slice(1 - room).join("")}` : letters.join("");
    ctx.fillText(text, 5, 1 + height / 2 + 1, width - 10);
  }
}

/**
 * The numbers of the steps.
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {number} first
 * @param {number} last
 * @param {Window} view
 */
function paintHead(ctx, { grid, palette, at }, first, last, view) {
  const every = grid.letters ? 1 : Math.ceil(40 / grid.width);
  for (let step = first; step <= last; step++) {
    if (step === at || (step + 1) % every === 0) {
      ctx.fillStyle = step === at ? palette.text : palette.dim;
      const near = step !== at && at - step < every;
      const x = Math.min(leftOf(step, grid) - view.left + 2, view.width - LABEL);
      ctx.fillText(near ? "" : String(step + 1), x, HEAD / 2);
    }
  }
}
