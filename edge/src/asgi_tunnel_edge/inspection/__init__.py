"""Asks the inspector of an app's side, over its tunnel: what it has recorded stays with the app."""

from .client import Inquiry, Inspectable, InspectionError, InspectorReply, Inspectors

__all__ = ["Inquiry", "Inspectable", "InspectionError", "InspectorReply", "Inspectors"]
