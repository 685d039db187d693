/** Stands in for xmlbuilder2, which vtk.js imports for file writers that this product never calls. */
export function create(): never {
  throw new Error('Writing XML is not part of this page.');
}
