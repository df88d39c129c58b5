from hdmea.features import families as families
from hdmea.features.base import FeatureExtractor as FeatureExtractor
from hdmea.features.base import StimulusFeature as StimulusFeature
from hdmea.features.registry import FeatureRegistry as FeatureRegistry
from hdmea.pipeline import *  # noqa: F403
