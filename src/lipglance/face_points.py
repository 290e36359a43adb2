"""Names for the points of MediaPipe's 468-point face mesh that lipglance uses.

"Left" and "right" are as seen in the picture of an upright face (the viewer's). The numbers are
those of MediaPipe's canonical face model (Apache-2.0), the same in every version of the mesh.
"""

from __future__ import annotations

N_POINTS = 468

#: The mouth in the order of dlib's points 48..67: outer lip from the left corner over the upper
#: lip and back along the lower lip (12), then the inner lip in the same way (8).
MOUTH_20 = (
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip

#: All points of the lips: outer edge from the left corner over the upper lip and back, then the
#: inner edge in the same way.
LIPS = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip

#: The points of and around the lips that the mesh places a second time, in that look's own order:
#: four rings, each its lower half from the left corner to the right one, then its upper half.
REFINED_LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)  # fmt: skip

#: The lower face that speech moves: lips, the ring around them, chin, lower cheeks, jaw.
LOWER_FACE = (
    *LIPS,
    57, 186, 92, 165, 167, 164, 393, 391, 322, 410, 287, 273, 335, 406, 313, 18, 83, 182, 106, 43,
    203, 206, 216, 212, 202, 210, 204, 211, 194, 201, 208, 171, 200, 199, 175,
    423, 426, 436, 432, 422, 430, 424, 431, 418, 421, 428, 396,
    172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397,
)  # fmt: skip

MOUTH_LEFT = 61
MOUTH_RIGHT = 291
INNER_LIP_TOP = 13
INNER_LIP_BOTTOM = 14
CHIN = 152
NOSE_TIP = 4
NOSE_BASE = 2

#: Corners of the eyes: left outer, left inner, right inner, right outer.
EYE_CORNERS = (33, 133, 362, 263)

#: Points that speech does not move: corners of the eyes, bridge of the nose from the brow down,
#: middle of the forehead, temples. The tip and the wings of the nose and the cheeks are left out
#: because the upper lip pulls at them.
STABLE = (
    *EYE_CORNERS,
    168, 6, 197, 195,
    10, 151, 9, 8,
    127, 356, 162, 389,
)  # fmt: skip

#: Left and right pairs at the same depth in a frontal view, for measuring how far a head is turned.
YAW_PAIRS = ((33, 263), (133, 362), (127, 356), (234, 454))

#: The lower edge of the face from the left ear over the chin to the right ear.
JAW = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148,
    152,
    377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
)  # fmt: skip
