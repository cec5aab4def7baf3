import { colourOf } from './colours.js';
import { html } from './html.js';
import { milliseconds } from './text.js';

/** @import { ApiFrame } from '../api.ts' */

/** What a frame's time was for, in the order of the legend. */
const KINDS = /** @type {const} */ (['wait', 'decode', 'travel', 'compute', 'paste', 'tail']);
/** Height of a row in units of the drawing, and the width of all of it. */
const ROW = 14;
const WIDTH = 600;
const NAMES = 110;

/**
 * Where a frame's time went: a row for its own steps, and one for each message to a node.
 * @param {{ frame: ApiFrame, nodes: readonly string[] }} props
 */
export function Waterfall({ frame, nodes }) {
  const rows = rowsOf(frame);
  const end = Math.max(frame.result.latency_ms, 1);
  const scale = (WIDTH - NAMES - 60) / end;
  return html`
    <figure class="waterfall">
      <div class="scroll">
      <svg viewBox="0 0 ${WIDTH} ${rows.length * ROW + 4}" role="img" aria-label="where the time of the frame went">
        ${rows.map(
          ({ name, node, note, bars }, k) => html`
            <g key=${name + k} transform="translate(0 ${k * ROW})">
              <title>${name}: ${note}</title>
              ${node !== undefined && html`<rect x="0" y="3" width="8" height="8" fill=${colourOf(node, nodes)} />`}
              <text x="12" y="11">${name}</text>
              ${bars.map(
                ({ kind, from_ms, to_ms }, i) => html`
                  <rect
                    key=${i}
                    class=${kind}
                    x=${NAMES + from_ms * scale}
                    y="2"
                    width=${Math.max(0.5, (to_ms - from_ms) * scale)}
                    height=${ROW - 4}
                  />
                `,
              )}
              <text class="quiet" x=${NAMES + (bars.at(-1)?.to_ms ?? 0) * scale + 4} y="11">${note}</text>
            </g>
          `,
        )}
      </svg>
      </div>
      <figcaption>
        ${KINDS.map((kind) => html`<span class="key" key=${kind}><span class="swatch ${kind}"></span>${kind}</span>`)}
      </figcaption>
    </figure>
  `;
}

/**
 * The spans of a frame in rows: its own steps before and after, and between them one for each message to a node.
 * @param {ApiFrame} frame
 * @returns {readonly { name: string, node?: string, note: string, bars: ApiFrame['spans'] }[]}
 */
function rowsOf({ spans }) {
  /** @type {Map<string, ApiFrame['spans'][number][]>} */
  const rows = new Map();
  for (const span of spans) {
    const { node, message, kind } = span;
    const own = kind === 'tail' ? 'prediction' : 'frame';
    const key = message === null ? own : `${node} ${message.stage} ${message.attempt}`;
    rows.set(key, [...(rows.get(key) ?? []), span]);
  }
  return [...rows].map(([key, bars]) => {
    const [{ node, message, kind, from_ms }, last] = [bars[0], /** @type {typeof bars[number]} */ (bars.at(-1))];
    if (message === null)
      return {
        name: key,
        note: `${kind === 'tail' ? '' : 'decoded after '}${milliseconds(last.to_ms - from_ms)}`,
        bars,
      };
    const parts = message.parts === 1 ? '1 part' : `${message.parts} parts`;
    const name = node === 'central' ? `central, stage ${message.stage}` : node;
    return {
      name,
      node,
      note: kind === 'lost' ? `${parts}, no answer` : `${parts}, ${milliseconds(last.to_ms)}`,
      bars,
    };
  });
}
