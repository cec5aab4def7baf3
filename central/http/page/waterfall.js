import { colourOf } from './colours.js';
import { html } from './html.js';
import { milliseconds } from './text.js';
import { phasesOf } from './tiles.js';

/** @import { ApiFrame } from '../api.ts' */

/** What a frame's time was for, in the order of the legend. */
const KINDS = /** @type {const} */ (['wait', 'decode', 'travel', 'compute', 'tail']);
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
                ({ kind, from, to }, i) => html`
                  <rect
                    key=${i}
                    class=${kind}
                    x=${NAMES + from * scale}
                    y="2"
                    width=${Math.max(0.5, (to - from) * scale)}
                    height=${ROW - 4}
                  />
                `,
              )}
              <text class="quiet" x=${NAMES + (bars.at(-1)?.to ?? 0) * scale + 4} y="11">${note}</text>
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
 * @param {ApiFrame} frame
 * @returns {readonly { name: string, node?: string, note: string, bars: readonly { kind: string, from: number, to: number }[] }[]}
 */
function rowsOf({ steps, trace, result }) {
  /** Requests of one message, which were sent at the same time. @type {Map<string, typeof trace>} */
  const messages = new Map();
  for (const request of trace) {
    const key = `${request.node} ${request.stage} ${request.attempt}`;
    messages.set(key, [...(messages.get(key) ?? []), request]);
  }
  const sent = [...messages.values()]
    .filter(([first]) => first?.sent_ms !== null)
    .sort(([a], [b]) => (a?.sent_ms ?? 0) - (b?.sent_ms ?? 0))
    .map((requests) => {
      const [{ node, stage }] = /** @type {[typeof trace[number]]} */ (requests);
      const answered = requests.filter(({ received_ms }) => received_ms !== null);
      const name = node === 'central' ? `central, stage ${stage}` : node;
      const parts = requests.length === 1 ? '1 part' : `${requests.length} parts`;
      if (answered.length === 0)
        return {
          name,
          node,
          note: `${parts}, no answer`,
          bars: [{ kind: 'lost', from: requests[0].sent_ms ?? 0, to: result.latency_ms }],
        };
      return { name, node, note: `${parts}, ${milliseconds(lastOf(answered))}`, bars: phasesOf(wholeOf(answered)) };
    });
  if (steps === null) return sent;
  const { accepted_ms, opened_ms, finishing_ms } = steps;
  const opened = opened_ms ?? result.latency_ms;
  const begin = {
    name: 'frame',
    note: `decoded after ${milliseconds(opened)}`,
    bars: [
      { kind: 'wait', from: 0, to: accepted_ms },
      { kind: 'decode', from: accepted_ms, to: opened },
    ],
  };
  if (finishing_ms === null) return [begin, ...sent];
  const tail = { kind: 'tail', from: finishing_ms, to: result.latency_ms };
  return [begin, ...sent, { name: 'prediction', note: `${milliseconds(tail.to - tail.from)}`, bars: [tail] }];
}

/** @param {readonly ApiFrame['trace'][number][]} requests */
const lastOf = (requests) => Math.max(...requests.map(({ received_ms }) => received_ms ?? 0));

/**
 * The parts of a message as one: a node computes them one after the other.
 * @param {readonly ApiFrame['trace'][number][]} requests
 * @returns {ApiFrame['trace'][number]}
 */
function wholeOf(requests) {
  const compute_ms = requests.reduce((sum, request) => sum + (request.compute_ms ?? 0), 0);
  return { ...requests[0], received_ms: lastOf(requests), compute_ms };
}
