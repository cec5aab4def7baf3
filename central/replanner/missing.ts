import { CENTRAL, type Plan } from '../../shared/plan/plan.ts';

/** The machines that a plan names and cannot do without, and that are not there: stand-ins compute in their place. */
export function missingFrom({ stages }: Plan, present: ReadonlySet<string>): string[] {
  const isGone = (node: string): boolean => node !== CENTRAL && !present.has(node);
  const missing = stages.flatMap(({ on }) => {
    if (on.parts !== undefined) return on.parts.filter(isGone);
    const named = 'nodes' in on && on.nodes !== '*' ? on.nodes : [];
    return named.every(isGone) ? named : [];
  });
  return [...new Set(missing)];
}
