import htm from 'htm';
import { h } from 'preact';

/** Markup as a template literal; preact and htm are imported as they are published. */
export const html = htm.bind(h);
