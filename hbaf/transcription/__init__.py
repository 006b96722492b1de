"""Recordings without a transcript -> transcripts beside them: voice activity, words with times, speakers, turns."""
