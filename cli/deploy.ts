import type { Config } from '../shared/config/schema.ts';
import type { Deployed } from '../shared/protocol/messages/requests.ts';

/** Central answers within 60 s (central.ts); the rest is for the way there and back. */
const ANSWER_MS = 70_000;

/** Has the running central put a plan to work, or, without one, the plan before. Throws its answer where that is an error. */
export async function deploy(
  config: Config,
  command: string,
  asked: { readonly model?: string; readonly plan?: unknown },
): Promise<Deployed> {
  const [{ connectCommand, openLog }, { topics }, { askRequest }, { deployedAnswer }] = await Promise.all([
    import('./connect.ts'),
    import('../shared/protocol/topics.ts'),
    import('../shared/runtime/requests.ts'),
    import('../shared/protocol/messages/requests.ts'),
  ]);
  const bus = await connectCommand(config, command, await openLog(config, command));
  try {
    return await askRequest(bus, topics(config.mqtt.base_topic), 'deploy', asked, deployedAnswer, ANSWER_MS);
  } finally {
    await bus.stop();
  }
}

/** What became of a plan, for people. */
export function deployedLines({ model, plan, ready, refused }: Deployed): string[] {
  const who = ready.length === 0 ? 'no node agent is ready for it' : `ready: ${ready.join(', ')}`;
  return [
    `model ${model}: plan ${plan} serves new frames; ${who}`,
    ...refused.map(({ node, text }) => `node ${node} refuses it: ${text}`),
  ];
}
