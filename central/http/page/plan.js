import { html } from './html.js';
import { clock, milliseconds, share } from './text.js';

/** @import { ApiState } from '../api.ts' */

/**
 * The plan of each model: its stages, what was predicted and measured, why it was made, and those before it.
 * @param {{ state: ApiState }} props
 */
export function Plan({ state }) {
  const refused = Object.entries(state.models).filter(([, { state: how }]) => how === 'refused');
  return html`
    <h1>Plan</h1>
    ${Object.entries(state.plans).map(([model, plans]) => html`<${ModelPlan} key=${model} model=${model} plans=${plans} />`)}
    ${refused.map(
      ([model, { error }]) => html`<p class="bad" key=${model}>model ${model} is not served: ${error?.message}</p>`,
    )}
  `;
}

/** @param {{ model: string, plans: ApiState['plans'][string] }} props */
function ModelPlan({ model, plans }) {
  const plan = plans.at(-1);
  if (plan === undefined) return null;
  const before = plans.slice(0, -1).reverse();
  return html`
    <section class="card" data-model=${model}>
      <h2>${model}</h2>
      <p>${plan.reason}</p>
      <dl class="facts">
        <dt>predicted</dt><dd>${milliseconds(plan.predicted?.latency_ms)}</dd>
        <dt>measured</dt><dd>${milliseconds(plan.measured?.latency_ms)}</dd>
        <dt>computed on nodes</dt><dd>${share(plan.macs_on_nodes)}</dd>
        <dt>since</dt><dd>${clock(plan.since)}</dd>
        <dt>plan</dt><dd><code>${plan.id}</code></dd>
      </dl>
      <div class="scroll">
        <table>
          <thead><tr><th>stage</th><th>split</th><th>on</th><th>makes</th></tr></thead>
          <tbody>
            ${plan.stages.map(
              ({ id, split, on, outputs }) =>
                html`<tr key=${id}><td>${id}</td><td>${split}</td><td>${on === '*' ? 'all nodes' : on}</td><td>${outputs.join(', ')}</td></tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${(plan.changed ?? []).length > 0 && html`<p>It was made because of ${changes(plan)}.</p>`}
      ${
        before.length > 0 &&
        html`
        <h3>Plans before it</h3>
        <ol class="history">
          ${before.map(
            (old) => html`<li key=${old.since}>
              <time>${clock(old.since)}</time> ${old.reason}; ${milliseconds(old.measured?.latency_ms)} measured
              ${(old.changed ?? []).length > 0 && ` (${changes(old)})`}
            </li>`,
          )}
        </ol>
      `
      }
    </section>
  `;
}

/** @param {ApiState['plans'][string][number]} plan */
const changes = ({ changed = [] }) => changed.map(({ what, node }) => `${what} (${node})`).join(', ');
