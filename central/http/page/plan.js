import { html } from './html.js';
import { bytes, clock, milliseconds, share } from './text.js';

/** @import { ApiState } from '../api.ts' */

/**
 * The plan of each model: its stages, what was predicted and measured, why it was made, and those before it.
 * @param {{ state: ApiState }} props
 */
export function Plan({ state }) {
  const refused = Object.entries(state.models).filter(([, { state: how }]) => how === 'refused');
  return html`
    <h1>Plan</h1>
    ${Object.entries(state.plans).map(([model, plans]) => html`<${ModelPlan} key=${model} model=${model} plans=${plans} ranking=${state.rankings[model]} />`)}
    ${refused.map(
      ([model, { error }]) => html`<p class="bad" key=${model}>model ${model} is not served: ${error?.message}</p>`,
    )}
  `;
}

/** @param {{ model: string, plans: ApiState['plans'][string], ranking?: ApiState['rankings'][string] }} props */
function ModelPlan({ model, plans, ranking }) {
  const plan = plans.at(-1);
  if (plan === undefined) return null;
  const before = plans.slice(0, -1).reverse();
  const expected = ranking?.plans.find((one) => one.plan === plan.id);
  return html`
    <section class="card" data-model=${model}>
      <h2>${model}</h2>
      <p>${plan.reason}</p>
      <dl class="facts">
        <dt>predicted</dt><dd>${milliseconds(expected?.latency_ms ?? plan.predicted?.latency_ms)}</dd>
        <dt>measured</dt><dd>${milliseconds(plan.measured?.latency_ms)}</dd>
        <dt>computed on nodes</dt><dd>${share(plan.macs_on_nodes)}</dd>
        <dt>since</dt><dd>${clock(plan.since)}</dd>
        <dt>plan</dt><dd><code>${plan.id}</code></dd>
      </dl>
      <div class="scroll">
        <table>
          <thead><tr><th>stage</th><th>split</th><th>on</th><th>makes</th><th>computing, predicted</th><th>measured</th></tr></thead>
          <tbody>
            ${plan.stages.map(
              ({ id, split, on, outputs }) =>
                html`<tr key=${id}>
                  <td>${id}</td><td>${split}</td><td>${on === '*' ? 'all nodes' : on}</td><td>${outputs.join(', ')}</td>
                  <td>${milliseconds(computingOf(expected?.stages, id))}</td>
                  <td>${milliseconds(computingOf(plan.measured?.stages, id))}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <p class="quiet">Computing of a stage is that of its slowest node.</p>
      ${ranking !== undefined && html`<${Ranking} ranking=${ranking} active=${plan.id} />`}
      ${(plan.changed ?? []).length > 0 && html`<p>It was made because of ${changes(plan)}.</p>`}
      ${
        plan.memory !== undefined &&
        html`<p class="quiet">Memory before, at most, and after it replaced the other plan: ${memory(plan.memory)}.</p>`
      }
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

/**
 * The plans that the planner compared last.
 * @param {{ ranking: ApiState['rankings'][string], active: string }} props
 */
function Ranking({ ranking, active }) {
  return html`
    <h3>What the planner compared at ${clock(ranking.time)}</h3>
    ${ranking.why !== undefined && html`<p>The best one: ${ranking.why}.</p>`}
    <div class="scroll">
      <table class="ranking">
        <thead><tr><th>strategy</th><th>latency</th><th>between machines</th><th>plan</th></tr></thead>
        <tbody>
          ${ranking.plans.map(
            ({ plan, strategy, reason, latency_ms, bytes: sent }) => html`
              <tr key=${plan} aria-current=${plan === active ? 'true' : undefined}>
                <td>${strategy}${plan === active && ' (in use)'}</td><td>${milliseconds(latency_ms)}</td><td>${bytes(sent)}</td>
                <td>${reason}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}

/**
 * @param {readonly { readonly id: number, readonly compute_ms: number }[] | undefined} stages
 * @param {number} id
 */
const computingOf = (stages, id) => stages?.find((stage) => stage.id === id)?.compute_ms;

/** @param {NonNullable<ApiState['plans'][string][number]['memory']>} machines */
const memory = (machines) =>
  Object.entries(machines)
    .map(([id, { before_mb, most_mb, after_mb }]) => `${id} ${before_mb}, ${most_mb}, ${after_mb ?? '-'} MB`)
    .join('; ');

/** @param {ApiState['plans'][string][number]} plan */
const changes = ({ changed = [] }) => changed.map(({ what, node }) => `${what} (${node})`).join(', ');
