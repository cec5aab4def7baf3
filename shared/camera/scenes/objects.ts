import type { Random } from '../../random.ts';
import { cat, fish, flower, tree } from './objects/living.ts';
import { clock, cup, house, umbrella } from './objects/things.ts';
import { airplane, bicycle, car, sailingBoat } from './objects/vehicles.ts';
import type { Palette } from './palette.ts';
import type { Shape } from './shape.ts';

/** One class of things that can be drawn, in a square from -1 to 1. */
export interface SceneClass {
  readonly label: string;
  /** Draws one of its kind; every call of a fresh stream looks different. */
  readonly draw: (random: Random, palette: Palette) => Shape[];
  /** How far it may be turned from upright, in turns; 0.5 is any way round. */
  readonly maxTurn: number;
}

/** All classes, in the order of the bundled model's labels.txt. */
export const sceneClasses: readonly SceneClass[] = [
  { label: 'airplane', draw: airplane, maxTurn: 0.5 },
  { label: 'bicycle', draw: bicycle, maxTurn: 0.06 },
  { label: 'car', draw: car, maxTurn: 0.06 },
  { label: 'cat', draw: cat, maxTurn: 0.08 },
  { label: 'clock', draw: clock, maxTurn: 0.1 },
  { label: 'cup', draw: cup, maxTurn: 0.08 },
  { label: 'fish', draw: fish, maxTurn: 0.12 },
  { label: 'flower', draw: flower, maxTurn: 0.1 },
  { label: 'house', draw: house, maxTurn: 0.05 },
  { label: 'sailing boat', draw: sailingBoat, maxTurn: 0.06 },
  { label: 'tree', draw: tree, maxTurn: 0.05 },
  { label: 'umbrella', draw: umbrella, maxTurn: 0.12 },
];
