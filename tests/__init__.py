"""Tests of Dropbox Backup. The folders mirror custom_components/dropbox_backup."""
