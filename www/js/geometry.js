// Where things lie in a picture that is fitted into an element. Pure.

/**
 * The pixel of the picture under a point of the element, where the picture is fitted into the element ("contain").
 * @param {{width: number, height: number}} box element size @param {{width: number, height: number}} picture pixel size
 * @param {number} x @param {number} y point relative to the element
 * @returns {{x: number, y: number}|null} null beside the picture
 */
export function pixelAt(box, picture, x, y) {
  if (picture.width <= 0 || box.width <= 0) return null;
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const px = Math.floor((x - (box.width - picture.width * scale) / 2) / scale);
  const py = Math.floor((y - (box.height - picture.height * scale) / 2) / scale);
  if (px < 0 || py < 0 || px >= picture.width || py >= picture.height) return null;
  return { x: px, y: py };
}
