"""The replies of judges that were trained to write in one way: what a card's `reads: {format: {name: …}}` may say."""

from __future__ import annotations

_HERE = "curate.rubrics.replies.formats"

FORMATS: dict[str, str] = {
    "imagedoctor": f"{_HERE}.imagedoctor:ImageDoctor",
    "letter": f"{_HERE}.letter:Letter",
    "magicmirror": f"{_HERE}.magicmirror:MagicMirror",
    "multi-reward": f"{_HERE}.multi_reward:ThreePerspectives",
    "q-insight-comparison": f"{_HERE}.q_insight:Comparison",
    "q-insight-degradation": f"{_HERE}.q_insight:Degradation",
    "q-insight-rating": f"{_HERE}.q_insight:Rating",
    "srum-layout": f"{_HERE}.srum:Layout",
    "srum-regions": f"{_HERE}.srum:Regions",
    "unifiedreward-acs": f"{_HERE}.unifiedreward_points:AlignmentCoherenceStyle",
    "unifiedreward-aps": f"{_HERE}.unifiedreward_points:AlignmentPhysicsStyle",
    "unifiedreward-edit": f"{_HERE}.unifiedreward_points:Edit",
    "unifiedreward-edit-pair": f"{_HERE}.unifiedreward_pairs:EditPair",
    "unifiedreward-flex": f"{_HERE}.unifiedreward_flex:Flex",
    "unifiedreward-pair": f"{_HERE}.unifiedreward_pairs:Pair",
    "unifiedreward-pair-score": f"{_HERE}.unifiedreward_pairs:PairScore",
    "unifiedreward-point": f"{_HERE}.unifiedreward_points:Point",
    "unifiedreward-think": f"{_HERE}.unifiedreward_pairs:Think",
    "unifiedreward-video": f"{_HERE}.unifiedreward_points:Video",
    "vision-sr1": f"{_HERE}.vision_sr1:VisionSR1",
    "visualquality-r1": f"{_HERE}.visualquality_r1:VisualQualityR1",
    "vr-thinker": f"{_HERE}.vr_thinker:VRThinker",
}
"""By name: module and class, made as `Class(params)` (`curate.rubrics.replies.base.Format`)."""
