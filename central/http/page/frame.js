import { useEffect, useState } from 'preact/hooks';
import { colourOf } from './colours.js';
import { html } from './html.js';
import { Boxes, Picture, sizeOf } from './picture.js';
import { bytes, milliseconds } from './text.js';
import { boxOf, FATES, partOf } from './tiles.js';
import { Waterfall } from './waterfall.js';

/**
 * @import { ApiFrame, ApiState } from '../api.ts'
 * @import { Live } from './live.js'
 */

/**
 * One frame: which node did which tile, and where its time went.
 * @param {{ live: Live, state: ApiState, camera: string }} props
 */
export function Frame({ live, state, camera }) {
  const cameras = Object.keys(state.cameras).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const name = cameras.includes(camera) ? camera : cameras[0];
  const [held, hold] = useState(/** @type {ApiFrame | undefined} */ (undefined));
  useEffect(() => {
    hold(undefined);
    live.watch(name === undefined ? [] : [name]);
    return () => live.watch([]);
  }, [name]);
  const newest = name === undefined ? undefined : live.frames.get(name);
  const frame = held ?? newest;
  useEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'p') hold(held === undefined ? newest : undefined);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });
  return html`
    <h1>Frame</h1>
    <p class="choices">
      ${cameras.map(
        (one) =>
          html`<a key=${one} href="#frame/${encodeURIComponent(one)}" aria-current=${one === name ? 'true' : undefined}>${one}</a>`,
      )}
      ${
        frame !== undefined &&
        html`<button title="key p" aria-pressed=${held !== undefined} onClick=${() => hold(held === undefined ? newest : undefined)}>
          ${held === undefined ? 'hold this frame' : 'go on'}
        </button>`
      }
    </p>
    ${frame === undefined ? html`<p>No frame yet.</p>` : html`<${Parts} frame=${frame} nodes=${Object.keys(state.nodes)} />`}
  `;
}

/** @param {{ frame: ApiFrame, nodes: readonly string[] }} props */
function Parts({ frame, nodes }) {
  const { result, trace } = frame;
  const used = [...new Set(trace.map(({ node }) => node))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const all = [...new Set([...nodes, ...used])];
  const tiled = frame.stages.find(({ split }) => split === 'tiles');
  return html`
    <p>
      <b>${result.camera}</b> with <b>${result.model}</b>: ${result.status} after ${milliseconds(result.latency_ms)}${`; ${bytes(result.bytes_up)} out, ${bytes(result.bytes_down)} back`}${
        result.bytes_between !== undefined && `, ${bytes(result.bytes_between)} between nodes`
      }
    </p>
    ${result.fallback !== undefined && html`<p class="bad">${result.fallback.text}</p>`}
    ${result.error !== undefined && html`<p class="bad">${result.error.message}</p>`}
    <div class="beside">
      <figure>
        <${Picture} frame=${frame}>
          ${tiled !== undefined && html`<${Mosaic} frame=${frame} stage=${tiled} nodes=${all} />`}
          <${Boxes} frame=${frame} />
        <//>
        <figcaption>
          ${used.map(
            (node) => html`
              <span class="key" key=${node}>
                <span class="swatch" style=${{ background: colourOf(node, all) }}></span>${node}: ${result.tiles_per_node[node] ?? 0}
              </span>
            `,
          )}
          ${tiled === undefined && html`<span class="quiet">this plan has no tiles</span>`}
        </figcaption>
      </figure>
      <${Waterfall} frame=${frame} nodes=${all} />
    </div>
  `;
}

/**
 * The tiles of a stage over the picture, in the colours of their nodes.
 * @param {{ frame: ApiFrame, stage: ApiFrame['stages'][number], nodes: readonly string[] }} props
 */
function Mosaic({ frame, stage, nodes }) {
  const { width, height } = sizeOf(frame);
  const [left, top, right, bottom] = frame.area ?? [0, 0, width, height];
  const unit = width / 200;
  return Array.from({ length: stage.rows.length * stage.cols.length }, (_, tile) => {
    const { fate, requests } = partOf(frame, stage.id, tile);
    const box = boxOf(stage, tile);
    const x = left + box.x * (right - left) + unit / 2;
    const y = top + box.y * (bottom - top) + unit / 2;
    const [w, h] = [box.width * (right - left) - unit, box.height * (bottom - top) - unit];
    const answered = requests[0];
    const who = answered === undefined ? 'nobody' : answered.node;
    const colour =
      answered === undefined || fate === 'filled' || fate === 'lost' ? 'none' : colourOf(answered.node, nodes);
    const took = answered?.received_ms ?? null;
    return html`
      <g class="tile ${fate}" key=${tile}>
        <title>tile ${tile}: ${who}, ${milliseconds(took)}, ${FATES[fate]}</title>
        <rect x=${x} y=${y} width=${Math.max(0, w)} height=${Math.max(0, h)} fill=${colour} stroke-width=${unit} />
        ${MARKS[fate] !== '' && html`<text x=${x + w / 2} y=${y + h / 2} font-size=${unit * 9}>${MARKS[fate]}</text>`}
      </g>
    `;
  });
}

/** @type {Readonly<Record<import('./tiles.js').Fate, string>>} */
const MARKS = { used: '', hedged: '2×', filled: '0', lost: '✕', open: '–' };
