"""One room per engine; everything rigtui knows about an engine lives in its room."""
