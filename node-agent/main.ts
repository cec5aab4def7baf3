import { type AgentOptions, startAgent } from './agent.ts';

/**
 * Runs a node agent until `signal` is aborted (the command line does that on Ctrl-C and SIGTERM); resolves within 10 s
 * of that, after `offline` was published. `onStarted` is called with the node's id when it is online. Throws what
 * `startAgent` throws, and TESSERA_BROKER when the broker refuses this node later on: trying again does not help then,
 * and the service should be seen to fail. Resolves with `replaced` where another release of the program is to start.
 */
export async function runAgent(
  options: AgentOptions & { readonly signal: AbortSignal; readonly onStarted?: (id: string) => void },
): Promise<'stopped' | 'replaced'> {
  const { signal, onStarted } = options;
  const agent = await startAgent(options);
  onStarted?.(agent.id);
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const replaced = agent.replaced.then(() => 'replaced' as const);
  const end = await Promise.race([aborted, agent.refused, replaced]);
  await agent.stop();
  if (end instanceof Error) throw end;
  return end ?? 'stopped';
}
