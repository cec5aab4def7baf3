import type { NodeMeasurements } from '../../central/nodes/node-measurements.ts';

/** No measurement is awaited. */
export const noMeasurements: Pick<NodeMeasurements, 'answered' | 'isAwaited'> = {
  answered: () => {},
  isAwaited: () => false,
};
