from itertools import pairwise

from pgolf.config.schema import Certify
from pgolf.proof.profiles import PROFILES


def test_each_profile_proves_at_least_what_the_one_before_it_does():
    for less, more in pairwise(PROFILES.values()):
        assert less.places <= more.places and less.decoded < more.decoded


def test_the_words_of_the_settings_are_the_profiles():
    assert [profile.name for profile in Certify] == list(PROFILES)
