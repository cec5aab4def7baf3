import { colourOf } from './colours.js';
import { html } from './html.js';
import { bytes, duration, milliseconds } from './text.js';

/** @import { ApiState } from '../api.ts' */

/** Bits of `throttled`: now, and since the machine started. */
const NOW = 0b1110;
const BEFORE = 0b1110 << 16;

/**
 * The nodes: what they are, how they are, and how far they are with plans.
 * @param {{ state: ApiState }} props
 */
export function Fleet({ state }) {
  const names = Object.keys(state.nodes);
  const agents = names.filter((name) => name !== 'central');
  return html`
    <h1>Nodes</h1>
    ${agents.length === 0 && html`<p>No node agent yet: <code>tessera agent</code> on another machine makes it one.</p>`}
    <ul class="cards">
      ${names
        .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
        .map((name) => html`<${NodeCard} key=${name} name=${name} state=${state} colour=${colourOf(name, names)} />`)}
    </ul>
  `;
}

/** @param {{ name: string, state: ApiState, colour: string }} props */
function NodeCard({ name, state, colour }) {
  const node = state.nodes[name];
  const { info, heartbeat, presence, link, open_tiles, tiles, heard_s } = node;
  const leftOut = state.left_out[name];
  return html`
    <li class="card node ${presence}" data-node=${name}>
      <h2><span class="swatch" style=${{ background: colour }}></span>${name}<span class="state ${presence}">${presence}</span></h2>
      ${leftOut !== undefined && html`<p class="bad">left out: ${leftOut.reason}</p>`}
      ${info !== null && html`<p class="quiet">${info.hardware}, ${info.cores} cores, ${info.tier}, version ${info.version}</p>`}
      <dl>
        ${
          heartbeat !== null &&
          presence !== 'offline' &&
          html`
          <${Meter} name="processor" value=${heartbeat.cpu_percent} text="${Math.round(heartbeat.cpu_percent)} %" />
          <${Meter} name="memory" value=${heartbeat.memory_percent} text="${bytes(heartbeat.memory_used_mb * 1e6)}" />
          ${
            heartbeat.temp_c !== null &&
            html`<${Meter} name="temperature" value=${heartbeat.temp_c} text="${Math.round(heartbeat.temp_c)} °C" />`
          }
          <${Row} name="throttled" value=${throttled(heartbeat.throttled)} />
          <${Row} name="tiles a second" value=${heartbeat.tiles_per_s.toFixed(1)} />
          <${Row} name="queue" value=${`${heartbeat.queue} there, ${open_tiles} under way`} />
          <${Row} name="running for" value=${duration(heartbeat.uptime_sec)} />
        `
        }
        <${Row} name="tiles used" value=${String(tiles)} />
        ${link !== null && html`<${Row} name="link" value=${`${milliseconds(link.ms)} for ${bytes(link.bytes)}`} />`}
        ${presence !== 'online' && heard_s !== null && html`<${Row} name="last heard" value=${`${duration(heard_s)} ago`} />`}
      </dl>
      <${Plans} name=${name} state=${state} />
    </li>
  `;
}

/** @param {{ name: string, value: number, text: string }} props */
function Meter({ name, value, text }) {
  return html`<dt>${name}</dt><dd><meter min="0" max="100" high="85" value=${value} aria-label=${name}></meter> ${text}</dd>`;
}

/** @param {{ name: string, value: string }} props */
function Row({ name, value }) {
  return html`<dt>${name}</dt><dd>${value}</dd>`;
}

/**
 * How far a node is with the newest plan of each model.
 * @param {{ name: string, state: ApiState }} props
 */
function Plans({ name, state }) {
  const rows = Object.entries(state.progress).flatMap(([model, { nodes }]) => {
    const at = nodes[name];
    return at === undefined ? [] : [{ model, ...at }];
  });
  return rows.map(
    ({ model, state: how, bytes: came, of, left_s, text }) => html`
      <p class="progress" key=${model}>
        <b>${model}</b> ${how}
        ${
          came !== undefined &&
          of !== undefined &&
          html` <progress max=${of} value=${came} aria-label="download of ${model}"></progress> ${bytes(came)} of ${bytes(of)}`
        }
        ${left_s !== undefined && html`, ${duration(left_s)} left`}
        ${text !== undefined && html`: <span class="bad">${text}</span>`}
      </p>
    `,
  );
}

/** @param {string} flags */
function throttled(flags) {
  const bits = Number(flags);
  if ((bits & NOW) !== 0) return 'now';
  return (bits & BEFORE) !== 0 ? 'earlier' : 'no';
}
